"""The gate of a recipe in front of a server's answers: again until one is good enough, else it is said that none is."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from burnish.generation.answer import Answer
from burnish.rewards.gate import Gate
from burnish.serving.api.served import Served
from burnish.serving.api.settings import ServerSettings
from scripted_engine import ScriptedEngine
from served import HTTP, LIMITS, QUESTION, Model, running, tiny_model
from workshop import tiny_tokenizer

Serve = Callable[..., Any]
REFUSAL = "no answer: of 3 none has a better one than 0.4, and it takes 0.5"


class Judge:
    """Scores an answer by the number that it is, and remembers what it judged."""

    def __init__(self) -> None:
        self.judged: list[Answer] = []
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Event()

    def __call__(self, answers: Sequence[Answer], /) -> list[float | None]:
        self.begun.set()
        self.open.wait(20)
        self.judged += answers
        return [float(one.text) if one.text else None for one in answers]


@pytest.fixture
def engines() -> list[ScriptedEngine]:
    return []


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()[0], tiny_tokenizer()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, model: Model, engines: list[ScriptedEngine]) -> Serve:
    def start(says: Sequence[str], judge: Judge, **options: Any) -> Any:
        """says: answers, one after the other."""
        turns = iter(says)

        def make(*_: Any, **__: Any) -> ScriptedEngine:
            engines.append(ScriptedEngine(model[1], lambda _: next(turns)))
            return engines[-1]

        monkeypatch.setattr("burnish.serving.api.app.Engine", make)
        return running(model, more={"gate": Gate(judge, 0.5, 3)}, **options)

    return start


def test_what_is_good_enough_is_given(serve: Serve, engines: list[ScriptedEngine]) -> None:
    judge = Judge()
    with serve(["0.1", "", "0.7"], judge, system="Be brief.") as server:
        answer = server.client().chat.completions.create(model="tiny", messages=QUESTION, seed=4, logprobs=True)
        assert answer.choices[0].message.content == "0.7"
        assert answer.choices[0].message.refusal is None
        assert answer.model_extra["burnish"]["gate"] == {"threshold": 0.5, "attempts": 3, "scores": [0.7]}
        count = [len(tiny_tokenizer().encode(text)) + 1 for text in ("0.1", "", "0.7")]
        assert answer.usage.completion_tokens == sum(count), "what did not pass was written too"
        assert answer.usage.prompt_tokens == len(engines[0].requests[0].prompt)
        assert len(answer.choices[0].logprobs.content) == count[-1] - 1
    assert [one.text for one in judge.judged] == ["0.1", "", "0.7"]
    assert judge.judged[0].prompt == [{"role": "system", "content": "Be brief."}, *QUESTION]
    assert judge.judged[0].finished
    first, second, third = engines[0].requests
    assert [one.sampling.temperature for one in (first, second, third)] == [0.0, 0.7, 0.7]
    assert len({one.seed for one in (first, second, third)}) == 3


def test_where_none_is_that_is_said_and_nothing_is_kept(serve: Serve, tmp_path: Path) -> None:
    with serve(["0.1", "0.4", "0.2"], Judge(), feedback=tmp_path / "f.db") as server:
        answer = server.client().chat.completions.create(model="tiny", messages=QUESTION)
        (choice,) = answer.choices
        assert (choice.message.content, choice.message.refusal) == (None, REFUSAL)
        assert choice.finish_reason == "content_filter"
        opinion = {"answer": answer.id, "kind": "good"}
        assert HTTP.post(f"{server.url}/v1/feedback", json=opinion).status_code == 404


def test_a_stream_holds_back_what_has_not_passed(serve: Serve) -> None:
    judge = Judge()
    with serve(["0.1", "0.9", "0.1", "0.4", "0.2"], judge) as server:
        for expected in (("0.9", None), ("", REFUSAL)):
            chunks = list(server.client().chat.completions.create(model="tiny", messages=QUESTION, stream=True))
            deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
            texts = [delta.content for delta in deltas if delta.content]
            assert ("".join(texts), next((one.refusal for one in deltas if one.refusal), None)) == expected
            assert len(texts) <= 1


def test_each_of_several_choices_passes_by_itself(serve: Serve, tmp_path: Path) -> None:
    with serve(["0.1", "0.8", "0.3", "0.4"], Judge(), feedback=tmp_path / "f.db") as server:
        answer = server.client().chat.completions.create(model="tiny", messages=QUESTION, n=2)
        assert [one.message.content for one in answer.choices] == [None, "0.8"]
        assert answer.choices[0].message.refusal == REFUSAL
        assert answer.model_extra["burnish"]["gate"]["scores"] == [0.4, 0.8]
        for name, status in ((answer.id, 404), (f"{answer.id}-1", 200)):
            opinion = {"answer": name, "kind": "good"}
            assert HTTP.post(f"{server.url}/v1/feedback", json=opinion).status_code == status


def test_a_call_does_not_pass_the_gate_by(serve: Serve) -> None:
    with serve([], Judge()) as server:
        tool = {"type": "function", "function": {"name": "f"}}
        refused = server.post(messages=QUESTION, tools=[tool])
        assert refused.status_code == 400


def test_who_goes_while_an_answer_is_judged_frees_the_place(serve: Serve) -> None:
    judge = Judge()
    judge.open.clear()
    with serve(["0.1", "0.9"], judge) as server:
        with HTTP.stream(
            "POST", f"{server.url}/v1/chat/completions", json={"model": "tiny", "messages": QUESTION, "stream": True}
        ) as response:
            lines = response.iter_lines()  # which closes the connection once nobody holds it
            next(lines)
            assert judge.begun.wait(20)
            assert server.api.worker.in_flight == 1
        judge.open.set()
        server.until(lambda: server.api.worker.in_flight == 0)


@pytest.fixture
def answering(serve: Serve, model: Model) -> Iterator[tuple[Any, Judge]]:
    """A server with a gate, and a version beside it without one."""
    judge = Judge()
    beside = Served(*model, ServerSettings(name="b", limits=LIMITS))
    with serve(["0.1", "of b", "new", "0.9"], judge, versions=[beside], shares={"b": 0.0}) as server:
        yield server, judge


def test_versions_swap_and_gate_together(answering: tuple[Any, Judge]) -> None:
    """While an answer is judged, a version answers by its name and another model takes over: nothing is lost."""
    server, judge = answering
    judge.open.clear()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(server.post(messages=QUESTION).json()))
    thread.start()
    assert judge.begun.wait(20)

    def said(**options: Any) -> str:
        return str(server.post(messages=QUESTION, **options).json()["choices"][0]["message"]["content"])

    assert said(model="b") == "of b"
    own, loop = server.api.served, server.api.worker._loop
    changing = asyncio.run_coroutine_threadsafe(server.api.change(replace(own, gate=None)), loop)
    server.until(lambda: server.api.served is not own)
    assert said() == "new"
    assert not changing.done(), "the old model is there until what it began has ended"
    judge.open.set()
    thread.join()
    changing.result(20)
    assert found[0]["choices"][0]["message"]["content"] == "0.9"
    assert [one["id"] for one in HTTP.get(f"{server.url}/v1/models").json()["data"]] == ["tiny", "b"]
