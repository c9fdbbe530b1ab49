"""Tools and the calls of them, in the one shape that chat templates expect.

That shape is transformers' (its page on templates and tools): a definition is `{"type": "function", "function":
{"name", "description", "parameters"}}`, a call is `{"type": "function", "function": {"name", "arguments"}}`, and
parameters and arguments are objects, not JSON text. OpenAI writes arguments as text, ShareGPT whole calls and tools.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.corpus.json_values import parse_json
from burnish.corpus.records import shown
from burnish.datasets.bad_rows import BadRowError
from burnish.text.chat import Message

ARGUMENT_KEYS = ("arguments", "parameters", "args")
# What a JSON schema may give as null: every other keyword that is null was made by a table that has a column for it.
NULL_MEANS_SOMETHING = ("default", "const")
# Keywords of a JSON schema under which there are values, not schemas.
VALUES = ("default", "const", "enum", "examples")
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>", re.DOTALL)


def parsed(value: object, where: str, expected: str) -> Any:
    """Return a value that may be written as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError as error:
        raise BadRowError(f"{where} is not JSON ({error}); expected {expected}") from None


def read_tools(value: object, where: str = "tools") -> list[dict[str, Any]] | None:
    """Return tool definitions: a list of them, or that list as JSON text, each with or without its `function`.

    None where there is no tool: nothing, null, `[]`, and either of them as text.
    """
    expected = "a list of tool definitions"
    value = parsed(value or None, where, expected)
    if not value and not isinstance(value, bool | int | float):
        return None
    values = [value] if isinstance(value, dict) else value
    if not isinstance(values, list):
        raise BadRowError(f"{where} is {shown(value)}; expected {expected}")
    return [_tool(tool, f"{where}[{index}]") for index, tool in enumerate(values)]


def _tool(value: object, where: str) -> dict[str, Any]:
    tool = parsed(value, where, "a tool definition")
    if not isinstance(tool, dict):
        raise BadRowError(f"{where} is {shown(tool)}; expected a tool definition: an object with a name and parameters")
    function = tool.get("function")
    if function is None and tool.get("name") is not None:
        function = {key: item for key, item in tool.items() if key not in ("type", "function")}
        tool = {"type": tool.get("type") or "function"}
    if function is None:
        return _schema(tool)  # a tool that a server has built in, such as {"type": "code_interpreter"}
    function = parsed(function, f"{where}.function", "the definition of a function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRowError(f"{where} is {shown(function)}; expected the definition of a function, which has a name")
    if function.get("parameters") is not None:
        parameters = parsed(function["parameters"], f"{where}.parameters", "a JSON schema")
        if not isinstance(parameters, dict):
            raise BadRowError(f"{where}.parameters is {shown(parameters)}; expected a JSON schema, which is an object")
        function = {**function, "parameters": parameters}
    others = {key: item for key, item in tool.items() if key not in ("type", "function") and item is not None}
    return {"type": tool.get("type") or "function", "function": _schema(function), **others}


def _schema(value: Any, *, names: bool = False) -> Any:
    """Return a JSON schema without the keywords that are null. names: whether the keys are those of properties."""
    if isinstance(value, list):
        return [_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item if key in VALUES and not names else _schema(item, names=key == "properties" and not names)
        for key, item in value.items()
        if item is not None or (key in NULL_MEANS_SOMETHING and not names)
    }


def stated(value: object) -> Any:
    """Return a value, None where it says nothing: empty, or an object of nulls, as tables have where there is none."""
    if isinstance(value, dict) and all(stated(item) is None for item in value.values()):
        return None
    return value if value or isinstance(value, int | float) else None


def read_calls(message: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """Return the calls of an assistant's message: `tool_calls`, or OpenAI's older `function_call`."""
    single = stated(message.get("function_call"))
    values = parsed(message.get("tool_calls") or None, f"{where}.tool_calls", "a list of calls") or None
    if single is not None:
        if values is not None:
            raise BadRowError(f"{where} has both tool_calls and function_call; leave one of them out")
        return [read_call(single, f"{where}.function_call")]
    if values is None:
        return []
    if isinstance(values, dict):
        values = [values]
    if not isinstance(values, list):
        raise BadRowError(f"{where}.tool_calls is {shown(values)}; expected a list of calls")
    return [read_call(value, f"{where}.tool_calls[{index}]") for index, value in enumerate(values)]


def read_call(value: object, where: str) -> dict[str, Any]:
    """Return one call, its arguments an object. A name and arguments are read with or without a `function` around."""
    expected = "an object with name and arguments"
    call = parsed(value, where, expected)
    if not isinstance(call, dict):
        raise BadRowError(f"{where} is {shown(call)}; expected {expected}")
    function, around = call, {}
    if call.get("function") is not None:
        function = parsed(call["function"], f"{where}.function", expected)
        around = {key: item for key, item in call.items() if key not in ("function", "type") and item is not None}
    elif call.get("id") is not None:
        around = {"id": call["id"]}
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise BadRowError(f"{where} is {shown(function)}; expected {expected}")
    if call.get("type") not in (None, "function", "tool_call"):
        raise BadRowError(f"{where}.type is {shown(call['type'])}; only calls of functions are supported")
    keys = [key for key in ARGUMENT_KEYS if function.get(key) is not None]
    if len(keys) > 1:
        raise BadRowError(f"{where} has both {' and '.join(keys)}; leave one of them out")
    arguments = _arguments(function[keys[0]], f"{where}.{keys[0]}") if keys else {}
    apart = ("name", "type", "function", *ARGUMENT_KEYS, *around)
    others = {key: item for key, item in function.items() if key not in apart and item is not None}
    return {"type": "function", "function": {"name": function["name"], "arguments": arguments, **others}, **around}


def _arguments(value: object, where: str) -> dict[str, Any]:
    arguments = {} if isinstance(value, str) and not value.strip() else parsed(value, where, "an object of arguments")
    if not isinstance(arguments, dict):
        raise BadRowError(f"{where} is {shown(arguments)}; expected an object of arguments")
    return arguments


def written_calls(value: object, where: str) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the thought and the calls of ShareGPT's `function_call`: JSON of one call or of a list of them.

    LLaMA-Factory lets `<think>` ... `</think>` stand before the JSON.
    """
    thought = None
    if isinstance(value, str) and (found := _THOUGHT.match(value)):
        thought, value = found[1].strip() or None, value[found.end() :]
    calls = parsed(value, where, "name and arguments")
    calls = calls if isinstance(calls, list) else [calls]
    if not calls:
        raise BadRowError(f"{where} is an empty list; expected a JSON object with name and arguments")
    several = len(calls) > 1
    return thought, [read_call(call, f"{where}[{index}]" if several else where) for index, call in enumerate(calls)]


def without_foreign_nulls(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None) -> list[Message]:
    """Return messages whose calls have no argument that is null and that the tool which is called does not have.

    A table has one column for each argument of any tool; written as JSON, a call has all of them, most of them null.
    """
    known = {
        tool["function"]["name"]: tool["function"]["parameters"].get("properties")
        for tool in tools or ()
        if isinstance(tool.get("function"), dict) and isinstance(tool["function"].get("parameters"), dict)
    }
    return [
        {**message, "tool_calls": [_own_arguments(call, known) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else message
        for message in messages
    ]


def _own_arguments(call: dict[str, Any], known: Mapping[str, object]) -> dict[str, Any]:
    function = call["function"]
    properties = known.get(function["name"])
    if not isinstance(properties, dict):
        return call
    kept = {key: item for key, item in function["arguments"].items() if item is not None or key in properties}
    return {**call, "function": {**function, "arguments": kept}}
