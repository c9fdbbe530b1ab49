"""Tools that the server itself calls: hops in answers and streams, limits, places in the queue, models that change."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.agents.functions import function_tool
from burnish.agents.tool import AgentLimits, Shown, Tool, ToolBox
from burnish.console.agent import ToolOptions
from burnish.console.chat import Target
from burnish.console.serving import Serving
from burnish.errors import BurnishError, CheckpointError
from burnish.serving.api.served import Served
from burnish.serving.api.settings import ServerSettings
from burnish.text.tokenizer import Tokenizer
from burnish.text.tool_calls.template import TOOLS_TEMPLATE
from scripted_engine import ScriptedEngine
from served import HTTP, LIMITS, running
from tiny_models import tiny_decoder
from workshop import tiny_tokenizer

ASKED: Any = [{"role": "user", "content": "One and two?"}]
CALL = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
TURNS = (f"Let me add. {CALL}", "Three.")


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def tool_user() -> Tokenizer:
    return replace(tiny_tokenizer(), chat_template=TOOLS_TEMPLATE, context_length=2048)


def by_turn(*turns: str) -> Callable[[str], str]:
    """What is said after so many results of tools."""
    return lambda prompt: turns[prompt.count("<tool_response>")]


Serve = Callable[..., Any]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    def start(
        writes: Callable[[str], str], tools: Sequence[Tool] | None = None, *, limits: Any = None, **options: Any
    ) -> Any:
        tokenizer = tool_user()
        monkeypatch.setattr("burnish.serving.api.app.Engine", lambda *_, **__: ScriptedEngine(tokenizer, writes))
        decoder = tiny_decoder(vocab_size=tokenizer.vocab_size, max_positions=2048)
        given = [function_tool(add)] if tools is None else tools
        box = lambda: ToolBox(given, limits or AgentLimits())  # noqa: E731
        options = {"limits": replace(LIMITS, tokens=400), **options}
        return running((decoder, tokenizer), more={"open_box": box}, **options)

    return start


def test_an_answer_has_its_hops(serve: Serve) -> None:
    with serve(by_turn(*TURNS)) as server:
        answer = server.client().chat.completions.create(model="tiny", messages=ASKED)
        (choice,) = answer.choices
        assert (choice.message.content, choice.finish_reason) == ("Let me add. \n\nThree.", "stop")
        assert choice.message.tool_calls is None
        called, result, last = answer.model_extra["burnish"]["messages"]
        assert json.loads(called["tool_calls"][0]["function"]["arguments"]) == {"a": 1, "b": 2}
        assert (result["role"], result["content"], result["tool_call_id"]) == ("tool", "3", "call00001")
        assert last == {"role": "assistant", "content": "Three."}
        # What was said goes back as it came and is read: behind one result the model says its second turn.
        again = [*ASKED, called, result, last, {"role": "user", "content": "Again?"}]
        assert server.post(messages=again).json()["choices"][0]["message"]["content"] == "Three."
        tokens = len(tool_user().encode(TURNS[0])) + len(tool_user().encode(TURNS[1])) + 2
        assert answer.usage.completion_tokens == tokens
        assert server.metric("burnish_prompt_tokens_total") >= answer.usage.prompt_tokens > 2 * len(str(ASKED))
        line = next(one for one in server.log if one["status"] == 200)
        assert line["prompt_tokens"] == answer.usage.prompt_tokens


def test_a_stream_tells_calls_and_results_as_they_come(serve: Serve) -> None:
    def table(n: int) -> Shown:
        """Count."""
        return Shown("0 | 1", ("n",), [(i, b"x", float("nan")) for i in range(n)])

    turns = ('<tool_call>{"name": "table", "arguments": {"n": 40}}</tool_call>', "So <b>many</b>.")
    with serve(by_turn(*turns), [function_tool(table)]) as server:
        stream = server.client().chat.completions.create(
            model="tiny", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        events = []
        for chunk in stream:
            more = (chunk.model_extra or {}).get("burnish", {})
            events += [(key, value) for key, value in more.items()]
            if chunk.choices and (text := chunk.choices[0].delta.content):
                events.append(("text", text))
            if chunk.usage:
                events.append(("usage", chunk.usage.completion_tokens))
        kinds = [key for key, _ in events]
        assert kinds[:2] == ["call", "result"]
        assert set(kinds[2:-2]) == {"text"}
        assert kinds[-2:] == ["messages", "usage"]
        found = dict(events)
        assert found["call"] == {"number": 0, "name": "table", "arguments": {"n": 40}}
        assert found["result"]["text"] == "0 | 1"
        assert found["result"]["table"]["note"] == "30 of 40 rows"
        assert found["result"]["table"]["rows"][1] == [1, "b'x'", "nan"], "JSON has no NaN"
        assert "".join(value for key, value in events if key == "text") == turns[1]


def test_who_has_tools_or_wants_none_gets_the_model_alone(serve: Serve) -> None:
    with serve(by_turn(*TURNS)) as server:
        own: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
        answer = server.post(messages=ASKED, tools=own).json()
        assert answer["choices"][0]["finish_reason"] == "tool_calls"
        alone = server.post(messages=ASKED, tool_choice="none").json()
        assert alone["choices"][0]["message"]["content"] == TURNS[0]
        assert "burnish" not in alone
        for fields in ({"n": 2}, {"logprobs": True}, {"response_format": {"type": "json_object"}}):
            refused = server.post(messages=ASKED, **fields)
            assert refused.status_code == 400
            assert refused.json()["error"]["param"] == next(iter(fields))
            assert "tool_choice: 'none'" in refused.json()["error"]["message"]


def test_what_goes_wrong_is_the_result_and_limits_end_an_answer(serve: Serve) -> None:
    def fail(a: int) -> int:
        """Fail."""
        raise RuntimeError("no luck")

    endless = lambda _: '<tool_call>{"name": "fail", "arguments": {"a": 1}}</tool_call>'  # noqa: E731
    with serve(endless, [function_tool(fail)], limits=AgentLimits(calls=3)) as server:
        answer = server.post(messages=ASKED).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["burnish"]["ended"] == "calls"
        results = [one["content"] for one in answer["burnish"]["messages"] if one["role"] == "tool"]
        assert results == ["error: RuntimeError: no luck"] * 3
        short = server.post(messages=ASKED, max_tokens=20).json()  # of all turns together
        assert short["choices"][0]["finish_reason"] == "length"
        assert short["usage"]["completion_tokens"] == 20
        long = server.post(messages=[{"role": "user", "content": "a" * 9000}])
        assert long.status_code == 400
        assert "offer fewer tools" in long.json()["error"]["message"]

    def much() -> str:
        """Say much."""
        return "word " * 3000

    full = '<tool_call>{"name": "much", "arguments": {}}</tool_call>'
    with serve(by_turn(full, "Well."), [function_tool(much)], limits=AgentLimits(result_characters=10**6)) as server:
        answer = server.post(messages=ASKED).json()
        assert (answer["choices"][0]["finish_reason"], answer["burnish"]["ended"]) == ("length", "context")


class Held:
    """A tool that waits until it is released."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def tool(self) -> Tool:
        def wait() -> str:
            """Wait."""
            self.begun.set()
            self.released.wait(20)
            return "done"

        return function_tool(wait)


WAITS = ('<tool_call>{"name": "wait", "arguments": {}}</tool_call>', "Done.")


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def test_an_answer_keeps_its_place_between_its_turns(serve: Serve) -> None:
    held = Held()
    with serve(by_turn(*WAITS), [held.tool()], limits=None) as server:
        server.api.worker._rows, server.api.worker._queue = 1, 0
        thread, found = in_thread(lambda: server.post(messages=ASKED))
        assert held.begun.wait(20)
        assert server.post(messages=ASKED).status_code == 429
        held.released.set()
        thread.join()
        assert found[0].json()["choices"][0]["message"]["content"] == "Done."
        server.until(lambda: server.api.worker.in_flight == 0)


def test_a_model_that_changes_meanwhile_does_not_end_an_answer(serve: Serve) -> None:
    held = Held()
    with serve(by_turn(*WAITS), [held.tool()]) as server:
        thread, found = in_thread(lambda: server.post(messages=ASKED))
        assert held.begun.wait(20)
        own = server.api.served
        loop = server.api.worker._loop
        assert loop is not None
        changing = asyncio.run_coroutine_threadsafe(server.api.change(replace(own, open_box=None)), loop)
        server.until(lambda: server.api.served is not own)
        assert server.post(messages=ASKED).json()["choices"][0]["message"]["content"] == WAITS[0]  # without tools now
        assert not changing.done()
        held.released.set()
        thread.join()
        changing.result(20)
        assert found[0].json()["choices"][0]["message"]["content"] == "Done."


def test_who_goes_while_a_tool_runs_leaves_nothing(serve: Serve) -> None:
    held = Held()
    with serve(by_turn(*WAITS), [held.tool()]) as server:
        with HTTP.stream(
            "POST", f"{server.url}/v1/chat/completions", json={"model": "tiny", "messages": ASKED, "stream": True}
        ) as response:
            lines = response.iter_lines()
            while '"call"' not in next(lines):
                pass
            assert held.begun.wait(20)
        held.released.set()
        server.until(lambda: server.api.worker.in_flight == 0)
        server.until(lambda: any(line.get("ended_by") == "disconnected" for line in server.log))


def test_time_that_is_over_ends_an_answer_with_tools(serve: Serve) -> None:
    held = Held()
    limits = replace(LIMITS, seconds=0.3, tokens=400)
    with serve(by_turn(*WAITS), [held.tool()], limits=None) as server:
        server.api.settings = replace(server.api.settings, limits=limits)
        refused = server.post(messages=ASKED)
        held.released.set()
        assert refused.status_code == 504
        server.until(lambda: server.api.worker.in_flight == 0)


def test_a_real_engine_answers_with_tools_at_hand() -> None:
    tokenizer = tool_user()
    decoder = tiny_decoder(vocab_size=tokenizer.vocab_size, max_positions=2048, scale=4.0)
    box = lambda: ToolBox([function_tool(add)])  # noqa: E731
    with running((decoder, tokenizer), more={"open_box": box}) as server:
        body = {"messages": ASKED, "max_tokens": 8, "temperature": 1.0, "seed": 5}
        first, again = (server.post(**body).json() for _ in range(2))
        assert first["choices"] == again["choices"]
        assert first["usage"]["completion_tokens"] <= 8
        assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def tools_file(folder: Path) -> Path:
    file = folder / "tools.py"
    file.write_text("def add(a: int, b: int) -> int:\n    'Add.'\n    return a + b\n", encoding="utf-8")
    return file


def opened(folder: Path, template: str, options: ToolOptions) -> Served:
    tokenizer = replace(tiny_tokenizer(), chat_template=template)
    burnish.save(tiny_decoder(vocab_size=tokenizer.vocab_size), tokenizer, folder / "model")
    serving = replace(Serving(Target(folder / "model"), "m", folder / "model", "cpu"), tools=options)
    with serving.opened() as load:
        return load(folder / "model", ServerSettings(name="m"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def test_what_tools_do_is_agreed_to_before_they_are_served(home: Path) -> None:
    options = ToolOptions(tools=(str(tools_file(home)),))
    with pytest.raises(BurnishError, match=r"runs the functions of .*tools.py, with your rights"):
        opened(home, TOOLS_TEMPLATE, options)
    served = opened(home, TOOLS_TEMPLATE, replace(options, ask=lambda _: True))
    assert served.open_box is not None
    assert [tool.name for tool in served.open_box().tools] == ["add"]
    with pytest.raises(CheckpointError, match="has no place for tools"):
        opened(home / "plain", tiny_tokenizer().chat_template or "", options)
    with pytest.raises(BurnishError, match="no judge of type sql"):
        opened(home, TOOLS_TEMPLATE, ToolOptions(tools=("database",)))
