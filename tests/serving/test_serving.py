"""The server answers OpenAI's own client with what the engine gives, and everything else with a clear error."""

import asyncio
import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus.embeddings import Encoder
from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.generation.engine import Engine, generate
from burnish.generation.request import derived_seed
from burnish.generation.sampling import Sampling
from burnish.serving.api import scoring
from burnish.serving.api.keys import add_key, owner, read_keys
from burnish.serving.api.protocol import ChatRequest, CompletionRequest
from burnish.serving.api.vectors import PORTION, ServedEncoder
from burnish.serving.api.worker import Worker
from burnish.text.chat import encode_prompt
from served import HTTP, LIMITS, QUESTION, Model, Running, running, tiny_model
from tiny_encoder import save_encoder


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="module")
def server(model: Model) -> Iterator[Running]:
    with running(model, system="Be brief.") as one:
        yield one


def expected(model: Model, seed: int, n: int = 1, **options: Any) -> list[str]:
    decoder, tokenizer = model
    messages: Any = [{"role": "system", "content": "Be brief."}, *QUESTION]
    sampling = Sampling(**{"temperature": 1.0, "max_new_tokens": 8, **options})
    (group,) = generate(decoder, [encode_prompt(tokenizer, messages)], sampling, n=n, seed=seed, tokenizer=tokenizer)
    return [tokenizer.decode(one.tokens) if one.text is None else one.text for one in group]


def test_openais_client_gets_what_the_engine_gives(server: Running, model: Model) -> None:
    client = server.client()
    assert [one.id for one in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "burnish"
    answer = client.chat.completions.create(
        model="tiny", messages=QUESTION, n=2, temperature=1, seed=5, max_tokens=8, logprobs=True, top_logprobs=3
    )
    assert [choice.message.content for choice in answer.choices] == expected(model, 5, 2)
    assert [choice.finish_reason for choice in answer.choices] == ["length"] * 2
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 16
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 8
    assert [len(one.top_logprobs) for one in logprobs.content] == [3] * 8
    again = client.chat.completions.create(model="tiny", messages=QUESTION, seed=5, temperature=1, max_tokens=8)
    assert again.choices[0].message.content == expected(model, 5)[0]
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1


def test_a_stream_says_the_same_piece_by_piece(server: Running, model: Model) -> None:
    stream = server.client().chat.completions.create(
        model="tiny",
        messages=QUESTION,
        n=2,
        temperature=1,
        seed=5,
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
    )
    texts, reasons, chunks, usage = ["", ""], ["", ""], 0, None
    for chunk in stream:
        usage = chunk.usage
        for choice in chunk.choices:
            chunks += 1
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == expected(model, 5, 2)
    assert reasons == ["length"] * 2
    assert chunks == 2 + 16, "an opening and a piece a token"
    assert usage is not None
    assert usage.completion_tokens == 16


def test_stop_strings_end_an_answer_before_them(server: Running, model: Model) -> None:
    whole = expected(model, 3)[0]
    stop = whole[3:5]
    client = server.client()
    for stream in (False, True):
        found: Any = client.chat.completions.create(
            model="tiny", messages=QUESTION, temperature=1, seed=3, max_tokens=8, stop=[stop, "never"], stream=stream
        )
        if stream:
            pieces = [chunk.choices[0] for chunk in found]
            text, reason = "".join(one.delta.content or "" for one in pieces), pieces[-1].finish_reason
        else:
            text, reason = found.choices[0].message.content, found.choices[0].finish_reason
        assert text == whole[: whole.index(stop)]
        assert reason == "stop"


def test_completions_echo_the_prompt_with_its_log_probabilities(
    server: Running, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "_SCORED_AT_ONCE", 3)
    decoder, tokenizer = model
    tokens = tokenizer.encode("SELECT 1 FROM")
    client = server.client()
    found = client.completions.create(
        model="tiny", prompt=[tokens], max_tokens=2, echo=True, logprobs=2, temperature=0, seed=1
    ).choices[0]
    (completion,) = generate(decoder, [tokens], Sampling(temperature=0, max_new_tokens=2))[0]
    assert found.text == tokenizer.decode([*tokens, *completion.tokens])
    assert found.logprobs is not None
    assert found.logprobs.token_logprobs is not None
    assert found.logprobs.top_logprobs is not None
    assert found.logprobs.token_logprobs[0] is None
    forest = Forest.from_segments([([*tokens, *completion.tokens], -1)])
    with torch.no_grad():
        logps = decoder.logps(forest, torch.arange(1, forest.n_tokens)).tolist()
    assert found.logprobs.token_logprobs[1:] == pytest.approx(logps, abs=1e-4)
    assert found.logprobs.top_logprobs[0] is None
    for place, top in enumerate(found.logprobs.top_logprobs[1:]):
        assert 2 <= len(top) <= 3
        assert max(top.values()) >= logps[place] - 1e-4
    only = client.completions.create(model="tiny", prompt="SELECT 1 FROM", max_tokens=0, echo=True, logprobs=0)
    assert only.choices[0].text == "SELECT 1 FROM"
    assert only.choices[0].logprobs is not None
    assert only.choices[0].logprobs.token_logprobs is not None
    assert only.choices[0].logprobs.token_logprobs[1:] == pytest.approx(logps[: len(tokens) - 1], abs=1e-4)
    several = client.completions.create(model="tiny", prompt=["1", "2 mod"], max_tokens=3, n=2, temperature=1, seed=4)
    prompts = [tokenizer.encode(text) for text in ("1", "2 mod")]
    groups = generate(decoder, prompts, Sampling(max_new_tokens=3), n=2, seed=4)
    assert [one.text for one in several.choices] == [tokenizer.decode(one.tokens) for each in groups for one in each]
    streamed = client.completions.create(model="tiny", prompt="1", max_tokens=3, echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed).startswith("1")


SCHEMA = {
    "type": "object",
    "properties": {"flights": {"type": "integer"}, "late": {"type": "boolean"}, "from": {"enum": ["JFK", "LGA"]}},
    "required": ["flights", "late", "from"],
    "additionalProperties": False,
}


def test_answers_have_the_form_that_was_asked_for(model: Model) -> None:
    decoder, tokenizer = model
    ending = decoder, replace(tokenizer, stop_ids=frozenset([2]))
    named = {"type": "json_schema", "json_schema": {"name": "row", "schema": SCHEMA, "strict": True}}
    with running(ending, limits=replace(LIMITS, tokens=200)) as server:
        for seed in range(4):
            free = server.post(messages=QUESTION, seed=seed, temperature=1, max_tokens=8)
            for form in (named, {"type": "regex", "pattern": "(JFK|LGA): [0-9]{2,3}"}):
                asked = {"seed": seed, "temperature": 1, "max_tokens": 180, "response_format": form}
                choice = server.post(messages=QUESTION, **asked).json()["choices"][0]
                if choice["finish_reason"] == "stop":
                    said = choice["message"]["content"]
                    if form is named:
                        row = json.loads(said)
                        assert sorted(row) == ["flights", "from", "late"]
                        assert row["from"] in ("JFK", "LGA")
                    else:
                        assert re.fullmatch("(JFK|LGA): [0-9]{2,3}", said)
                else:
                    assert form is named, "an expression of few letters ends"
            again = server.post(messages=QUESTION, seed=seed, temperature=1, max_tokens=8)
            assert free.json()["choices"] == again.json()["choices"]
        for form, message in (
            ({"type": "regex", "pattern": "("}, "regular expression cannot be followed"),
            ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "what"}}}, "cannot be followed"),
            ({"type": "xml"}, "xml"),
        ):
            refused = server.post(messages=QUESTION, response_format=form)
            assert refused.status_code == 400
            assert message in refused.json()["error"]["message"]


def test_vectors_are_those_of_the_encoder(model: Model, tmp_path: Path) -> None:
    embedder = Encoder(str(save_encoder(tmp_path / "small")), compute_dtype="float32", device="cpu").embedder
    with running(model, encoder=ServedEncoder("small", embedder)) as server:
        client = server.client()
        assert [one.id for one in client.models.list()] == ["tiny", "small"]
        texts = [*["cancel a task"] * PORTION, "queue"]
        for form in ("float", "base64"):
            found = client.embeddings.create(model="small", input=texts, encoding_format=form)  # type: ignore[arg-type]
            for one, expected in zip(found.data, embedder.embed(texts, "document"), strict=True):
                vector = one.embedding
                if isinstance(vector, str):
                    vector = np.frombuffer(base64.b64decode(vector), dtype="<f4").tolist()
                assert vector == pytest.approx(expected.tolist(), abs=1e-6)  # in other batches
        assert found.usage.prompt_tokens == 3 * PORTION + 1
        for body, status, said in (
            ({"input": []}, 400, "at least 1 item"),
            ({"input": ["queue", " "]}, 400, "input.1"),
            ({"input": [1, 2]}, 400, "input.0: Input should be a valid string"),
            ({"input": ["a"] * 257}, 400, "at most 256 items"),
            ({"input": "a", "dimensions": 2}, 400, "dimensions"),
            ({"input": "a", "model": "tiny"}, 404, "expected 'small'"),
        ):
            refused = server.post("/v1/embeddings", **{"model": "small", **body})
            assert refused.status_code == status
            assert said in refused.json()["error"]["message"]
    with running(model) as server:
        assert "--encoder" in server.post("/v1/embeddings", input="a").json()["error"]["message"]


def test_an_encoder_is_called_as_its_folder_unless_the_model_is(tmp_path: Path) -> None:
    folder = str(save_encoder(tmp_path / "small"))
    assert ServedEncoder.of(folder, device="cpu", taken="tiny").name == "small"
    with pytest.raises(BurnishError, match="is called 'small', as the model is; expected another --name"):
        ServedEncoder.of(folder, device="cpu", taken="small")


BAD: dict[str, tuple[dict[str, Any], str, int]] = {
    "no messages": ({}, "messages: Field required", 400),
    "empty": ({"messages": []}, "at least 1 item", 400),
    "a wrong role": ({"messages": [{"role": "me", "content": "x"}]}, "messages.0.role", 400),
    "an image": ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "text", 400),
    "no content": ({"messages": [{"role": "user", "content": None}]}, "messages[0].content: null, from user", 400),
    "an empty answer": (
        {"messages": [*QUESTION, {"role": "assistant", "content": None}, *QUESTION]},
        "expected text or tool_calls",
        400,
    ),
    "an unknown field": ({"messages": QUESTION, "max_tokns": 3}, "max_tokns: Extra inputs", 400),
    "another model": ({"messages": QUESTION, "model": "gpt-4"}, "expected 'tiny'", 404),
    "too hot": ({"messages": QUESTION, "temperature": 3}, "temperature", 400),
    "no number": ({"messages": QUESTION, "temperature": "warm"}, "temperature", 400),
    "too many choices": ({"messages": QUESTION, "n": 5}, "at most 4", 400),
    "too many tokens": ({"messages": QUESTION, "max_tokens": 65}, "at most 64", 400),
    "a long prompt": ({"messages": [{"role": "user", "content": "word " * 900}]}, "leave no room", 400),
    "a penalty": ({"messages": QUESTION, "presence_penalty": 0.5}, "repetition_penalty is", 400),
    "tools": ({"messages": QUESTION, "tools": [{"type": "function"}]}, "tools", 400),
    "a long body": ({"messages": [{"role": "user", "content": "word " * 9000}]}, "longer than 20,000 bytes", 413),
    "alternatives of nothing": ({"messages": QUESTION, "top_logprobs": 3}, "logprobs: true", 400),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_told_what_is_wrong(name: str, server: Running) -> None:
    body, message, status = BAD[name]
    answer = server.post(**body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", "/v1/chat/completions", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/v1/chat/completions", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        (
            "POST",
            "/v1/chat/completions",
            {"content": b"[" * 9000, "headers": {"Content-Type": "application/json"}},
            400,
        ),
        ("GET", "/v1/chat/completions", {}, 405),
        ("GET", "/v1/models/../../etc/passwd", {}, 404),
        ("GET", "/v1/models/other", {}, 404),
        ("GET", "/nothing", {}, 404),
        ("GET", "/v1/models", {"headers": {"Host": "evil.example"}}, 403),
        ("POST", "/v1/completions", {"json": {"model": "tiny", "prompt": ""}}, 400),
        ("POST", "/v1/completions", {"json": {"model": "tiny", "prompt": []}}, 400),
        ("POST", "/v1/completions", {"json": {"model": "tiny", "prompt": [10**6]}}, 400),
        ("POST", "/v1/completions", {"json": {"model": "tiny", "prompt": "x", "best_of": 3}}, 400),
        ("POST", "/v1/completions", {"json": {"model": "tiny", "prompt": "x", "max_tokens": 0}}, 400),
    ],
)
def test_what_is_no_request_is_an_error_in_json(
    method: str, path: str, options: dict[str, Any], status: int, server: Running
) -> None:
    answer = HTTP.request(method, f"{server.url}{path}", **options)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(sorted({*ChatRequest.model_fields, *CompletionRequest.model_fields}))


def fuzz(server: Running, fields: dict[str, Any], chat: bool) -> None:
    kind = {"messages": QUESTION} if chat else {"prompt": "x"}
    body = {"model": "tiny", **kind, "max_tokens": 2, **fields}
    path = "/v1/chat/completions" if chat else "/v1/completions"
    answer = HTTP.post(
        f"{server.url}{path}",
        content=json.dumps(body).encode("utf-8", "replace"),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]


@given(st.dictionaries(FIELDS, VALUES, max_size=3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_body_of_anything_is_answered_or_refused(server: Running, fields: dict[str, Any], chat: bool) -> None:
    fuzz(server, fields, chat)


@pytest.mark.slow
@given(st.dictionaries(FIELDS, VALUES, max_size=3), st.booleans())
@settings(max_examples=10_000, deadline=None)
def test_ten_thousand_bodies_of_anything_are_answered_or_refused(
    server: Running, fields: dict[str, Any], chat: bool
) -> None:
    fuzz(server, fields, chat)


def _many(model: Model, n: int) -> None:
    """All at once: none is lost, wrong or mixed up."""
    limits = replace(LIMITS, rows=32, queue=n, seconds=600)
    decoder, tokenizer = model

    async def ask(client: httpx2.AsyncClient, url: str, number: int) -> str:
        body = {"model": "tiny", "prompt": f"{number} mod 3?", "seed": number, "temperature": 1, "max_tokens": 6}
        answer = await client.post(f"{url}/v1/completions", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["text"])

    async def all_of_them(url: str) -> list[str]:
        async with httpx2.AsyncClient(verify=False, timeout=300, limits=httpx2.Limits(max_connections=n)) as client:
            return await asyncio.gather(*(ask(client, url, number) for number in range(n)))

    with running(model, limits=limits) as server:
        found = asyncio.run(all_of_them(server.url))
        assert server.metric("burnish_new_tokens_total") == 6 * n
        assert server.metric("burnish_in_flight") == 0
    for number in range(n):
        prompt = tokenizer.encode(f"{number} mod 3?")
        ((alone,),) = generate(decoder, [prompt], Sampling(max_new_tokens=6), seed=number)
        assert found[number] == tokenizer.decode(alone.tokens)


def test_a_hundred_clients_at_once_get_their_own_answers(model: Model) -> None:
    _many(model, 100)


@pytest.mark.slow
def test_five_hundred_clients_at_once_get_their_own_answers(model: Model) -> None:
    _many(model, 500)


class Held(Engine):
    """An engine that takes no step until it may."""

    may = threading.Event()

    def step(self) -> Any:
        self.may.wait(10)
        return super().step()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    from burnish.serving.api import app

    Held.may = threading.Event()
    monkeypatch.setattr(app, "Engine", Held)
    yield Held.may
    Held.may.set()


def test_a_full_queue_is_told_at_once(model: Model, held: threading.Event) -> None:
    with running(model, limits=replace(LIMITS, rows=1, queue=1)) as server:
        answers: list[httpx2.Response] = []
        asking = [
            threading.Thread(target=lambda: answers.append(server.post(messages=QUESTION, max_tokens=1)))
            for _ in range(2)
        ]
        for one in asking:
            one.start()
        server.until(lambda: server.api.worker.in_flight == 2)
        refused = server.post(messages=QUESTION, max_tokens=1)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "5"
        assert refused.json()["error"]["type"] == "rate_limit_error"
        held.set()
        for one in asking:
            one.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert server.post(messages=QUESTION, max_tokens=1).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_takes_nothing_from_the_others(stream: bool, model: Model, held: threading.Event) -> None:
    with running(model) as server:
        body = {"model": "tiny", "messages": QUESTION, "max_tokens": 64, "stream": stream}
        with pytest.raises(httpx2.TimeoutException):
            HTTP.post(f"{server.url}/v1/chat/completions", json=body, timeout=0.2)
        server.until(lambda: server.api.worker.in_flight == 0)
        held.set()
        server.until(lambda: server.api.worker.running == 0)
        assert server.api.worker.steps <= 2
        server.until(lambda: bool(server.log))
        assert "disconnected" in server.log[-1]["ended_by"] or "gone" in server.log[-1]["ended_by"]
        assert server.post(messages=QUESTION, max_tokens=2).status_code == 200


def test_a_request_that_takes_too_long_is_ended(model: Model, held: threading.Event) -> None:
    with running(model, limits=replace(LIMITS, seconds=0.1)) as server:
        assert server.post(messages=QUESTION).status_code == 504
        streamed = server.post(messages=QUESTION, stream=True)
        assert "more than 0.1 seconds" in json.loads(streamed.text.strip().splitlines()[-1][6:])["error"]["message"]
        held.set()
        server.until(lambda: server.api.worker.in_flight == 0)


def test_a_step_that_fails_fails_its_requests_and_no_others(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(model) as server:
        monkeypatch.setattr(Engine, "step", lambda _self: 1 / 0)
        answer = server.post(messages=QUESTION)
        assert answer.status_code == 500
        assert "division" not in answer.text
        monkeypatch.undo()
        assert server.post(messages=QUESTION, max_tokens=2).status_code == 200
        assert any("division by zero" in str(line) for line in server.log)


def test_keys_are_asked_for_and_never_stored(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    key, other = add_key(file, "team"), add_key(file, "night-job")
    assert key not in file.read_text()
    known = read_keys(file)
    assert [owner(known, one) for one in (key, other, key[:-1], "")] == ["team", "night-job", None, None]
    with running(model, keys=file, host="127.0.0.1") as server:
        with pytest.raises(openai.AuthenticationError, match="expected a key"):
            server.client("wrong").models.list()
        assert HTTP.get(f"{server.url}/metrics").status_code == 401
        assert HTTP.get(f"{server.url}/health").json() == {"status": "ok"}
        server.client(key).chat.completions.create(model="tiny", messages=QUESTION, max_tokens=1)
        assert server.log[-1]["key"] == "team"
        assert key not in json.dumps(server.log)
    for text, message in (("team sha256:12\n", "keys.txt:1"), ("", "has no key")):
        file.write_text(text)
        with pytest.raises(BurnishError, match=message):
            read_keys(file)
    with pytest.raises(BurnishError, match="cannot be read"):
        read_keys(tmp_path / "none")
    file.unlink()
    add_key(file, "a")
    with pytest.raises(BurnishError, match="a key named a already"):
        add_key(file, "a")
    with pytest.raises(BurnishError, match="letters, digits"):
        add_key(file, "a b")


def test_logs_have_no_contents_unless_asked(model: Model) -> None:
    for wanted in (False, True):
        with running(model, log_contents=wanted) as server:
            server.post(messages=[{"role": "user", "content": "7 mod 3?"}], max_tokens=3)
            server.post(messages=[{"role": "user", "content": "7 mod 3?"}], max_tokens=3, stream=True)
            server.until(lambda: len(server.log) >= 2)
            for line in server.log:
                assert ("7 mod 3?" in json.dumps(line)) == wanted
                assert ("answers" in line) == wanted
                assert line["new_tokens"] == 3
                assert line["first_token_seconds"] <= line["seconds"]


def test_browsers_may_call_from_pages_that_were_named_only(model: Model) -> None:
    headers = {"Origin": "https://chat.example", "Access-Control-Request-Method": "POST"}
    for origins, allowed in (((), None), (("https://chat.example",), "https://chat.example")):
        with running(model, origins=origins) as server:
            answer = HTTP.options(f"{server.url}/v1/chat/completions", headers=headers)
            assert answer.headers.get("access-control-allow-origin") == allowed


def test_a_graceful_stop_lets_answers_finish(model: Model, held: threading.Event) -> None:
    found: list[httpx2.Response] = []
    with running(model) as server:
        asking = threading.Thread(target=lambda: found.append(server.post(messages=QUESTION, max_tokens=4)))
        asking.start()
        server.until(lambda: server.api.worker.in_flight == 1)
        server.server.should_exit = True
        time.sleep(0.05)
        held.set()
        asking.join()
    assert found[0].status_code == 200


def test_keys_take_turns(model: Model) -> None:
    began: list[str] = []

    class Noting(Engine):
        def add(self, request: Any) -> int:
            began.append("many" if len(request.prompt) == 1 else "few")
            return super().add(request)

    async def ask() -> None:
        worker = Worker(lambda: Noting(model[0], max_rows=1), rows=1, queue=99)
        one = Sampling(max_new_tokens=1)
        from burnish.generation.request import Request

        many = worker.submit([Request(prompt=[5], sampling=one, seed=derived_seed(0, i)) for i in range(6)], "a")
        few = worker.submit([Request(prompt=[5, 6], sampling=one) for _ in range(2)], "b")
        worker.start()
        for ticket in (few, many):
            async for _ in ticket:
                pass
            worker.close(ticket)
        await worker.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "healthy", property(lambda _self: True))
        asyncio.run(ask())
    assert began == ["many", "few", "many", "few", "many", "many", "many", "many"]
