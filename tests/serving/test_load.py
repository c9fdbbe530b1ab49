"""Very many clients at once: no request is lost, wrong or mixed up, and what they used is free again."""

import asyncio
import gc
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

import burnish
from burnish.generation.engine import Engine, generate
from burnish.generation.sampling import Sampling
from burnish.serving.api import app
from burnish.serving.api.keys import add_key
from burnish.text.chat import encode_prompt
from served import HTTP, LIMITS, QUESTION, Model, running, tiny_model

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


def asked(number: int) -> dict[str, Any]:
    """A request by its number: greedy or seeded, whole or streamed, some behind the same beginning."""
    beginning = "Answer in SQL. " if number % 3 else ""
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": f"{beginning}{number} mod {1 + number % 7}?"}],
        "seed": number,
        "temperature": float(number % 2),
        "max_tokens": 1 + number % 9,
        "stream": number % 4 == 0,
    }


def alone(model: Model, body: dict[str, Any]) -> str:
    """What the engine answers where nobody else asks."""
    sampling = Sampling(temperature=body["temperature"], max_new_tokens=body["max_tokens"], stop=frozenset())
    prompt = encode_prompt(model[1], body["messages"])
    ((completion,),) = generate(model[0], [prompt], sampling, seed=body["seed"])
    return model[1].decode(completion.tokens)


def text_of(answer: httpx2.Response) -> str:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1])


Answers = list[httpx2.Response | None]


def at_once(url: str, bodies: list[dict[str, Any]], going: frozenset[int] = frozenset()) -> Answers:
    """All answers; of `going`, clients that go before they have one, None."""

    async def one(client: httpx2.AsyncClient, number: int) -> httpx2.Response | None:
        work = client.post(f"{url}{CHAT}", json=bodies[number])
        if number not in going:
            return await work
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0.001 * (number % 50))
        task.cancel()
        return None

    async def run() -> Answers:
        limits = httpx2.Limits(max_connections=len(bodies))
        async with httpx2.AsyncClient(verify=False, timeout=300, limits=limits) as client:
            return await asyncio.gather(*(one(client, number) for number in range(len(bodies))))

    return asyncio.run(run())


def _load(model: Model, n: int) -> None:
    draw = random.Random(n)
    going = frozenset(draw.sample(range(n), n // 10))
    bodies = [asked(number) for number in range(n)]
    with running(model, limits=replace(LIMITS, rows=32, queue=n, cache_bytes=2**20, seconds=600)) as server:
        answers = at_once(server.url, bodies, going)
        server.until(lambda: server.api.worker.in_flight == 0)
        server.until(lambda: server.api.worker.running == 0)
        assert server.api.worker._engine._batch._waves == []
        assert server.api.worker.cached_bytes <= 2**20
        assert server.post(messages=QUESTION, max_tokens=1).status_code == 200
    for number, answer in enumerate(answers):
        if answer is not None:
            assert answer.status_code == 200
            assert text_of(answer) == alone(model, bodies[number]), f"request {number}"


def test_clients_that_come_and_go_get_their_own_answers(model: Model) -> None:
    _load(model, 60)


@pytest.mark.slow
def test_five_hundred_clients_that_come_and_go_get_their_own_answers(model: Model) -> None:
    _load(model, 500)


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_requests(model: Model) -> None:
    process, sizes, files = psutil.Process(), list[int](), list[int]()
    with running(model, limits=replace(LIMITS, rows=32, queue=200, cache_bytes=2**20, seconds=600)) as server:
        for part in range(50):
            answers = at_once(server.url, [asked(200 * part + number) for number in range(200)])
            assert all(answer is not None and answer.status_code == 200 for answer in answers)
            server.log.clear()
            gc.collect()
            sizes.append(process.memory_info().rss)
            files.append(process.num_fds())
        assert server.metric("burnish_requests_total") == 10_000
    assert sizes[-1] - sizes[9] < 20 * 2**20, [size >> 20 for size in sizes]
    assert files[-1] <= files[9] + 5


class Held(Engine):
    """An engine that takes no step until it may."""

    may = threading.Event()

    def step(self) -> Any:
        self.may.wait(10)
        return super().step()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    Held.may = threading.Event()
    monkeypatch.setattr(app, "Engine", Held)
    yield Held.may
    Held.may.set()


def test_one_key_cannot_take_all_the_places(model: Model, tmp_path: Path, held: threading.Event) -> None:
    keys = tmp_path / "keys.txt"
    greedy, modest = ({"Authorization": f"Bearer {add_key(keys, name)}"} for name in ("greedy", "modest"))
    body = {"model": "tiny", "messages": QUESTION, "max_tokens": 1}
    with running(model, keys=keys, limits=replace(LIMITS, rows=2, queue=6)) as server:
        answers: list[httpx2.Response] = []

        def ask(headers: dict[str, str]) -> None:
            answers.append(httpx2.post(f"{server.url}{CHAT}", json=body, headers=headers, timeout=30))

        asking = [threading.Thread(target=ask, args=(greedy,)) for _ in range(6)]
        for one in asking:
            one.start()
        server.until(lambda: len(answers) == 2)
        assert [answer.status_code for answer in answers] == [429, 429]
        assert "of this key" in answers[0].json()["error"]["message"]
        assert answers[0].headers["Retry-After"] == "5"
        assert HTTP.get(f"{server.url}/ready").json() == {"status": "ok"}
        asking += [threading.Thread(target=ask, args=(modest,)) for _ in range(4)]
        for one in asking[-4:]:
            one.start()
        server.until(lambda: server.api.worker.in_flight == 8)
        assert HTTP.get(f"{server.url}/ready").status_code == 503
        assert HTTP.get(f"{server.url}/health").status_code == 200
        held.set()
        for one in asking:
            one.join()
        assert sorted(answer.status_code for answer in answers) == [200] * 8 + [429] * 2


def test_numbers_for_prometheus_are_true(model: Model) -> None:
    with running(model) as server:
        for _ in range(2):
            server.post(messages=QUESTION, max_tokens=5)
        server.post(messages=[])
        assert HTTP.get(f"{server.url}/v1/models/x").status_code == 404
        text = HTTP.get(f"{server.url}/metrics").text
        prompt = server.post(messages=QUESTION, max_tokens=5).json()["usage"]["prompt_tokens"]
        for name, value in {
            'burnish_requests_total{path="/v1/chat/completions",status="200"}': 2,
            'burnish_requests_total{path="/v1/chat/completions",status="400"}': 1,
            'burnish_requests_total{path="/v1/models/{model:path}",status="404"}': 1,
            "burnish_new_tokens_total": 10,
            "burnish_prompt_tokens_total": 2 * prompt,
            "burnish_cached_tokens_total": prompt - 1,
            "burnish_queue_seconds_count": 2,
            "burnish_first_token_seconds_count": 2,
            "burnish_token_seconds_count": 2,
            "burnish_request_seconds_count": 4,
            "burnish_waiting": 0,
            "burnish_running": 0,
            "burnish_in_flight": 0,
        }.items():
            assert f"{name} {float(value)}" in text, name
        for name in ("burnish_cache_bytes", "burnish_steps", "process_resident_memory_bytes", "process_open_fds"):
            assert f"\n{name} " in text


@pytest.fixture(scope="module")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("model") / "tiny"
    burnish.save(model[0], replace(model[1], stop_ids=frozenset({2})), found)
    return found


@pytest.mark.slow
def test_the_command_prints_what_works_and_stops_when_its_streams_have_ended(folder: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    key = add_key(keys, "team")
    command = [
        sys.executable,
        "-m",
        "burnish",
        "serve",
        str(folder),
        "--port",
        "0",
        "--keys",
        str(keys),
        "--threads",
        "1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        printed = [server.stdout.readline() for _ in range(3)]
        assert printed[0].startswith("serving tiny at http://127.0.0.1:")
        curl = next(line for line in printed if line.startswith("curl "))
        found = subprocess.run(
            curl.replace("KEY", key), shell=True, capture_output=True, text=True, timeout=60, check=True
        )
        assert json.loads(found.stdout)["choices"][0]["message"]["role"] == "assistant"
        url = curl.split()[1]
        body = {"model": "tiny", "messages": QUESTION, "max_tokens": 200, "temperature": 1, "stream": True}
        with httpx2.stream("POST", url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            server.terminate()
            rest = [line for line in lines if line.startswith("data: ")]
        assert rest[-1] == "data: [DONE]", "what was begun is finished"
        assert server.wait(30) == -signal.SIGTERM, "it ends by what it was sent, as systemd expects"
        assert server.stderr is not None
        assert "Traceback" not in server.stderr.read()
