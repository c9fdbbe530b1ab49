"""Tools and calls have the one shape that chat templates expect, however the file writes them."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.datasets.bad_rows import BadRowError
from burnish.datasets.rows import read_conversations, read_labelled, read_preferences, read_tasks
from burnish.datasets.tool_calls import read_tools, written_calls
from burnish.errors import DataError

USER = {"role": "user", "content": "Weather in Bern?"}
FUNCTION = {
    "name": "weather",
    "description": "Of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "string"}}},
}
TOOL = {"type": "function", "function": FUNCTION}
ARGUMENTS = {"city": "Bern"}
CALL = {"type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


CALLS: dict[str, tuple[dict[str, Any], Any]] = {
    "transformers": ({"tool_calls": [CALL]}, [CALL]),
    "OpenAI": (
        {
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
            ]
        },
        [{**CALL, "id": "1"}],
    ),
    "no arguments, as text": (
        {"tool_calls": [{"function": {"name": "weather", "arguments": ""}}]},
        [{"type": "function", "function": {"name": "weather", "arguments": {}}}],
    ),
    "no arguments, null": (
        {"tool_calls": [{"function": {"name": "weather", "arguments": None}}]},
        [{"type": "function", "function": {"name": "weather", "arguments": {}}}],
    ),
    "a null argument that the tool has": (
        {"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bern", "day": None, "unit": None}}}]},
        [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Bern", "day": None}}}],
    ),
    "flat": ({"tool_calls": [{"name": "weather", "arguments": ARGUMENTS}]}, [CALL]),
    "LangChain": (
        {"tool_calls": [{"name": "weather", "args": ARGUMENTS, "id": "1", "type": "tool_call"}]},
        [{**CALL, "id": "1"}],
    ),
    "parameters": ({"tool_calls": [{"name": "weather", "parameters": ARGUMENTS}]}, [CALL]),
    "all as text": ({"tool_calls": json.dumps([CALL])}, [CALL]),
    "each as text": ({"tool_calls": [json.dumps(CALL)]}, [CALL]),
    "OpenAI's older": ({"function_call": {"name": "weather", "arguments": '{"city": "Bern"}'}}, [CALL]),
    "of another type": (
        {"tool_calls": [{"type": "custom", "custom": {"name": "weather", "input": "Bern"}}]},
        "expected an object with name and arguments",
    ),
    "both": ({"tool_calls": [CALL], "function_call": CALL["function"]}, "both tool_calls and function_call"),
    "arguments that are no JSON": (
        {"tool_calls": [{"function": {"name": "weather", "arguments": '{"city": Bern}'}}]},
        "messages[1].tool_calls[0].arguments is not JSON",
    ),
    "arguments that are no object": (
        {"tool_calls": [{"function": {"name": "weather", "arguments": "[1]"}}]},
        "messages[1].tool_calls[0].arguments is a list of 1; expected an object of arguments",
    ),
    "text inside text": (
        {"tool_calls": [{"function": {"name": "weather", "arguments": json.dumps(json.dumps(ARGUMENTS))}}]},
        "expected an object of arguments",
    ),
    "no name": ({"tool_calls": [{"function": {"arguments": {}}}]}, "expected an object with name and arguments"),
    "two kinds of arguments": (
        {"tool_calls": [{"name": "weather", "arguments": {}, "parameters": {}}]},
        "has both arguments and parameters",
    ),
    "a call that is no object": ({"tool_calls": [4]}, "messages[1].tool_calls[0] is 4"),
}


@pytest.mark.parametrize(("keys", "expected"), CALLS.values(), ids=CALLS)
def test_calls_of_openai_messages(keys: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    for content in ({"content": None}, {"content": ""}, {"content": "Let me look."}, {}):
        row = {"messages": [USER, {"role": "assistant", **content, **keys}], "tools": [TOOL]}
        path = write(tmp_path / "rows.jsonl", row)
        if isinstance(expected, str):
            with pytest.raises(DataError) as caught:
                read_conversations(path)
            assert expected in str(caught.value)
            continue
        (conversation,) = read_conversations(path)
        said = content.get("content") or ""
        assert conversation.messages == [USER, {"role": "assistant", "content": said, "tool_calls": expected}]
        assert conversation.unused == ()


VALUES: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "one call": (json.dumps({"name": "weather", "arguments": ARGUMENTS}), [CALL]),
    "arguments as text": (json.dumps({"name": "weather", "arguments": json.dumps(ARGUMENTS)}), [CALL]),
    "parameters": (json.dumps({"name": "weather", "parameters": ARGUMENTS}), [CALL]),
    "several": (json.dumps([CALL["function"], CALL["function"]]), [CALL, CALL]),
    "with a function around": (json.dumps(CALL), [CALL]),
    "an object": (CALL["function"], [CALL]),
}


@pytest.mark.parametrize(("value", "expected"), VALUES.values(), ids=VALUES)
def test_calls_of_sharegpt(value: Any, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    assert written_calls(value, "value") == (None, expected)
    if isinstance(value, str):
        assert written_calls(f"<think>\nBern it is.\n</think>\n{value}", "value") == ("Bern it is.", expected)
    row = {
        "conversations": [
            {"from": "human", "value": "Weather in Bern?"},
            {"from": "function_call", "value": value},
            {"from": "observation", "value": {"degrees": 9}},
            {"from": "gpt", "value": "9 degrees."},
        ],
        "tools": json.dumps([FUNCTION]),
    }
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert conversation.messages[1] == {"role": "assistant", "content": "", "tool_calls": expected}
    assert conversation.messages[2] == {"role": "tool", "content": '{"degrees": 9}'}
    assert conversation.tools == [TOOL]
    assert conversation.learned == (True, True)


@pytest.mark.parametrize("value", ["weather(Bern)", "[]", '{"city": "Bern"}', "4", "null", '[{"name": 4}]'])
def test_sharegpt_values_that_are_no_calls(value: str) -> None:
    with pytest.raises(BadRowError, match="name and arguments"):
        written_calls(value, "value")


NULLABLE = {"type": ["string", "null"], "default": None, "enum": ["a", None], "const": None}
TOOLS: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "empty": ([], None),
    "empty as text": ("[]", None),
    "nothing as text": ("", None),
    "null as text": ("null", None),
    "a list": ([TOOL], [TOOL]),
    "bare functions": ([FUNCTION], [TOOL]),
    "as text": (json.dumps([TOOL]), [TOOL]),
    "each as text": ([json.dumps(TOOL)], [TOOL]),
    "one": (TOOL, [TOOL]),
    "OpenAI's responses": ([{"type": "function", **FUNCTION}], [TOOL]),
    "schema as text": (
        [{"name": "f", "parameters": '{"type": "object"}'}],
        [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    ),
    "built in": ([{"type": "code_interpreter"}], [{"type": "code_interpreter"}]),
    "nulls of a table": (
        [
            {
                "type": "function",
                "strict": None,
                "function": {
                    "name": "f",
                    "parameters": {
                        "properties": {"a": {**NULLABLE, "items": None}, "b": None, "default": None},
                        "required": None,
                    },
                },
            }
        ],
        [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": NULLABLE}}}}],
    ),
    "no list": (4, "tools is 4; expected a list of tool definitions"),
    "no JSON": ("weather", "tools is not JSON"),
    "no definition": ([4], "tools[0] is 4; expected a tool definition"),
    "no name": ([{"function": {"description": "x"}}], "which has a name"),
    "no schema": ([{"name": "f", "parameters": [4]}], "expected a JSON schema"),
}


@pytest.mark.parametrize(("value", "expected"), TOOLS.values(), ids=TOOLS)
def test_tools(value: Any, expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(BadRowError) as caught:
            read_tools(value)
        assert expected in str(caught.value)
    else:
        assert read_tools(value) == expected


ASSISTANT = {"role": "assistant", "content": "9 degrees."}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ASSISTANT], "tools": [TOOL]},
        {"messages": [USER, ASSISTANT], "functions": [FUNCTION]},
        {"messages": json.dumps([USER, ASSISTANT]), "tools": json.dumps([TOOL])},
        {"messages": [json.dumps(USER), json.dumps(ASSISTANT)], "tools": [json.dumps(FUNCTION)]},
        {"messages": [{"role": "system", "content": "", "tools": [FUNCTION]}, USER, ASSISTANT]},
        {
            "messages": [{"role": "system", "content": "", "tools": json.dumps([TOOL])}, USER, ASSISTANT],
            "tools": [TOOL],
        },
        {"prompt": "Weather in Bern?", "completion": "9 degrees.", "tools": [FUNCTION]},
        {"instruction": "Weather in Bern?", "output": "9 degrees.", "tools": json.dumps([FUNCTION])},
    ],
)
def test_where_tools_may_stand(row: dict[str, Any], tmp_path: Path) -> None:
    (conversation,) = read_conversations(write(tmp_path / "rows.jsonl", row))
    assert [message for message in conversation.messages if message["role"] != "system"] == [USER, ASSISTANT]
    assert conversation.tools == [TOOL]
    assert conversation.unused == ()


def test_tools_that_contradict_each_other(tmp_path: Path) -> None:
    other = {"name": "time"}
    row = {"messages": [{"role": "system", "content": "", "tools": [other]}, USER, ASSISTANT], "tools": [TOOL]}
    with pytest.raises(DataError, match=r"tools and messages\[0\]\.tools differ"):
        read_conversations(write(tmp_path / "rows.jsonl", row))


def test_calls_in_judged_answers_and_tasks(tmp_path: Path) -> None:
    written = {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "Bern"}'}}]}
    read = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    path = write(tmp_path / "pairs.jsonl", {"prompt": [USER], "chosen": [written], "rejected": "No.", "tools": [TOOL]})
    (pair,) = read_preferences(path)
    assert (pair.chosen, pair.tools, pair.fault) == ([read], [TOOL], None)
    path = write(tmp_path / "kto.jsonl", {"prompt": [USER], "completion": [written], "label": True, "tools": [TOOL]})
    (labelled,) = read_labelled(path)
    assert (labelled.answer, labelled.tools) == ([read], [TOOL])
    result = {"role": "tool", "content": "9"}
    (task,) = read_tasks(write(tmp_path / "tasks.jsonl", {"messages": [USER, written, result], "tools": [TOOL]}))
    assert (task.prompt, task.tools) == ([USER, read, result], [TOOL])
