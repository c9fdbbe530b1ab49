"""Tools over HTTP: OpenAI's own client gets calls, whole and streamed, and text where what was written is none."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from burnish.generation.grammar import Grammar, Grammars
from burnish.nn.decoder import Decoder
from burnish.serving.api.served import Served
from burnish.text.tokenizer import Tokenizer
from burnish.text.tool_calls.template import TOOLS_TEMPLATE
from serving import test_serving
from serving.test_serving import Running, running
from text.templates import CHATML, LLAMA3_STYLE, MISTRAL_STYLE
from tiny_models import TINY
from workshop import tiny_tokenizer

LIMITS = replace(test_serving.LIMITS, tokens=200)
QUESTION: Any = [{"role": "user", "content": "Rain?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"place": {"enum": ["Bern", "Genf"]}, "mm": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["place", "mm"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "get_rain", "description": "Rain.", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "get_sun", "parameters": {"type": "object", "properties": {}}}},
]
NAMED = {"type": "function", "function": {"name": "get_rain"}}
CALL = '<tool_call>{"name": "get_rain", "arguments": {"place": "Bern", "mm": 7}}</tool_call>'


@dataclass(frozen=True, eq=False)
class Scripted(Served):
    """A model that writes what it is told, chosen token by token by a grammar of that text alone. says: the text."""

    says: str = ""

    def grammar(self, asked: Any, use: Any = None) -> Grammar | None:
        found = super().grammar(asked, use)
        if found is not None or not self.says:
            return found
        return Grammars(self.tokenizer, self.decoder.config.vocab_size).calls([(self.says, {"const": 1}, "")])


def model(template: str = TOOLS_TEMPLATE) -> tuple[Decoder, Tokenizer]:
    tokenizer = replace(tiny_tokenizer(), chat_template=template, context_length=2048)
    decoder = Decoder(replace(TINY, vocab_size=tokenizer.vocab_size, max_positions=2048)).eval()
    return decoder, tokenizer


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(model(), limits=LIMITS) as one:
        yield one


def script(server: Running, says: str) -> None:
    """What it writes from now on, behind which stands a 1: a text must end in some JSON."""
    own = server.api.served
    server.api.served = Scripted(own.decoder, own.tokenizer, own.settings, says=says)


def ask(server: Running, **options: Any) -> Any:
    client = server.client()
    return client.chat.completions.create(model="tiny", messages=QUESTION, tools=TOOLS, max_tokens=200, **options)


def test_a_call_comes_as_openais_client_reads_it(server: Running) -> None:
    script(server, f"Let me see. {CALL}")
    (choice,) = ask(server).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me see. 1"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_rain"
    assert json.loads(call.function.arguments) == {"place": "Bern", "mm": 7}
    assert len(call.id) == 9
    assert call.id.isalnum()


def test_a_stream_brings_calls_as_deltas(server: Running) -> None:
    script(server, f"See: {CALL}{CALL.replace('Bern', 'Genf')}")
    text, calls, reasons = "", dict[int, Any](), list[str]()
    for chunk in ask(server, stream=True):
        delta = chunk.choices[0].delta
        text += delta.content or ""
        calls |= {one.index: one for one in delta.tool_calls or ()}
        reasons += [chunk.choices[0].finish_reason] if chunk.choices[0].finish_reason else []
    assert text == "See: 1"
    assert [json.loads(calls[place].function.arguments)["place"] for place in range(2)] == ["Bern", "Genf"]
    assert calls[0].id != calls[1].id
    assert reasons == ["tool_calls"]


def test_what_may_not_be_called_is_told_and_not_called(server: Running) -> None:
    for says, why in (
        (CALL.replace("get_rain", "rm_rf"), "there is no tool 'rm_rf'; there are: get_rain, get_sun"),
        (CALL.replace("7", "70"), "mm: 70 is greater than the maximum of 9"),
        ("<tool_call>{</tool_call>", "no JSON"),
    ):
        script(server, says)
        answer = ask(server)
        assert answer.choices[0].finish_reason == "stop"
        assert answer.choices[0].message.tool_calls is None
        (wrong,) = answer.model_extra["burnish"]["wrong_tool_calls"]
        assert why in wrong
    script(server, CALL + CALL)
    assert len(ask(server, parallel_tool_calls=False).choices[0].message.tool_calls) == 1


def test_the_result_goes_back_and_is_read(server: Running) -> None:
    script(server, "Seven")
    call = {"id": "abc123xyz", "type": "function", "function": {"name": "get_rain", "arguments": '{"place": "Bern"}'}}
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abc123xyz", "content": "<|im_end|>7 mm"},
    ]
    answer = server.post(messages=messages, tools=TOOLS, max_tokens=32).json()
    assert answer["choices"][0]["message"]["content"] == "Seven1"
    one = server.post(messages=QUESTION, tools=TOOLS, max_tokens=32).json()
    assert answer["usage"]["prompt_tokens"] > one["usage"]["prompt_tokens"]
    call["function"] = {"name": "get_rain", "arguments": "no JSON"}
    refused = server.post(messages=messages, tools=TOOLS)
    assert refused.status_code == 400
    assert "messages[1].tool_calls[0].arguments is not JSON" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("template", "choice"), [(TOOLS_TEMPLATE, "required"), (LLAMA3_STYLE, NAMED), (MISTRAL_STYLE, "required")]
)
def test_a_call_that_must_be_is_made_by_any_model(template: str, choice: Any) -> None:
    with running(model(template), limits=LIMITS) as server:
        answer = ask(server, tool_choice=choice, temperature=1.5, seed=1).choices[0]
        assert answer.finish_reason == "tool_calls"
        (call,) = answer.message.tool_calls
        assert choice == "required" or call.function.name == "get_rain"
        if call.function.name == "get_rain":
            assert json.loads(call.function.arguments)["place"] in ("Bern", "Genf")


def test_what_is_not_served_says_so(server: Running) -> None:
    for fields, said in (
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools[1]: a second tool named 'get_rain'"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "x"}}}]}, "expected object"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "no tool 'g' among get_rain",
        ),
        ({"tool_choice": "required"}, "tool_choice: needs tools"),
        (
            {"tools": TOOLS, "tool_choice": "required", "response_format": {"type": "json_object"}},
            "leave response_format",
        ),
    ):
        refused = server.post(messages=QUESTION, **fields)
        assert refused.status_code == 400
        assert said in refused.json()["error"]["message"]
    script(server, CALL)
    free = ask(server, tool_choice="none").choices[0]
    assert free.message.content == f"{CALL}1"  # nothing was offered, so nothing is read as a call
    with running(model(CHATML)) as plain:
        refused = plain.post(messages=QUESTION, tools=TOOLS)
        assert refused.status_code == 400
        assert "has no place for tools" in refused.json()["error"]["message"]
