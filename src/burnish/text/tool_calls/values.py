"""Names and arguments of calls in the notations of the families, read as data: nothing of it is ever run."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_NESTING = 64
"""Of lists and objects in each other; what nests deeper is no call."""
_NAME_KEYS = ("name", "tool_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args")
_DECODER = json.JSONDecoder()
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_FUNCTION = re.compile(r"\s*<function=([^>\n]+)>(.*?)</function>\s*", re.DOTALL)
_GEMMA = re.compile(r"\s*call:([\w.-]+)\s*\{")
_GEMMA_QUOTES = ("<escape>", '<|"|>')


class CallSyntaxError(ValueError):
    """What stands where a call should is none."""


@dataclass(frozen=True)
class ToolCall:
    """A call that a model wrote: a function's name and its arguments by name. raw: arguments are text by the schema."""

    name: str
    arguments: Mapping[str, Any]
    raw: bool = False


def json_value(text: str, start: int = 0) -> tuple[Any, int]:
    """The JSON value that begins at `start`, white space aside, and where it ends. Raises CallSyntaxError."""
    place = len(text) - len(text[start:].lstrip())
    if _nesting(text[place:]) > MAX_NESTING:
        raise CallSyntaxError("nested too deeply")
    try:
        return _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError) as error:
        raise CallSyntaxError(f"no JSON: {error}") from error


def _nesting(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def json_call(value: object) -> ToolCall:
    """The call that an object with name and arguments is. Raises CallSyntaxError for any other value."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        raise CallSyntaxError("not an object")
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if not name:
        raise CallSyntaxError("without a name")
    arguments: Any = next((value[key] for key in _ARGUMENT_KEYS if key in value), {})
    if isinstance(arguments, str):
        arguments, _ = json_value(arguments or "{}")
    if not isinstance(arguments, dict):
        raise CallSyntaxError(f"{name}: arguments are not an object")
    return ToolCall(name, arguments)


def json_calls(text: str) -> list[ToolCall]:
    """Calls as JSON: an object, a list of them, or several after each other, with `;` or white space between."""
    found: list[ToolCall] = []
    place = 0
    while text[place:].strip(" \t\r\n;"):
        place += len(text[place:]) - len(text[place:].lstrip(" \t\r\n;"))
        value, place = json_value(text, place)
        found += [json_call(one) for one in (value if isinstance(value, list) else [value])]
    if not found:
        raise CallSyntaxError("nothing is called")
    return found


def python_calls(text: str) -> list[ToolCall]:
    """Calls as Python writes them, `[f(a=1), g(b='x')]` or one alone, with literals as arguments."""
    if _nesting(text.replace("(", "[").replace(")", "]")) > MAX_NESTING:
        raise CallSyntaxError("nested too deeply")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CallSyntaxError(f"no call in Python: {error}") from error
    nodes = tree.elts if isinstance(tree, ast.List) else [tree]
    calls = [_python_call(node) for node in nodes]
    if not calls:
        raise CallSyntaxError("nothing is called")
    return calls


def _python_call(node: ast.expr) -> ToolCall:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and node.args:
        node = node.args[0]  # as Gemma's tool_code shows a result
    if not isinstance(node, ast.Call) or node.args or any(one.arg is None for one in node.keywords):
        raise CallSyntaxError("not a call with named arguments")
    try:
        arguments = {str(one.arg): _json_like(_literal(one.value)) for one in node.keywords}
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise CallSyntaxError(f"an argument is no literal: {error}") from error
    return ToolCall(ast.unparse(node.func), arguments)


def _literal(node: ast.expr) -> Any:
    """A literal, with JSON's names for three of them."""
    named = {"true": True, "false": False, "null": None}
    if isinstance(node, ast.Name) and node.id in named:
        return named[node.id]
    return ast.literal_eval(node)


def _json_like(value: Any) -> Any:
    """A literal as JSON has it. Raises ValueError for what it has not, such as bytes."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json_like(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_like(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{type(value).__name__} is none of JSON's types")


def tagged_calls(text: str) -> list[ToolCall]:
    """Calls as Qwen3-Coder writes them: `<function=NAME>` with `<parameter=KEY>` text; types are the schema's."""
    found, place = [], 0
    while match := _FUNCTION.match(text, place):
        arguments = {key.strip(): value for key, value in _PARAMETER.findall(match[2])}
        found.append(ToolCall(match[1].strip(), arguments, raw=True))
        place = match.end()
    if not found or text[place:].strip():
        raise CallSyntaxError("no <function=NAME>")
    return found


def gemma_calls(text: str) -> list[ToolCall]:
    """Calls as FunctionGemma and Gemma 4 write them: `call:NAME{key:<escape>text<escape>,other:1}`."""
    found, place = [], 0
    while match := _GEMMA.match(text, place):
        arguments, place = _gemma_object(text, match.end(), 0)
        found.append(ToolCall(match[1], arguments))
    if not found or text[place:].strip():
        raise CallSyntaxError("no call:NAME{...}")
    return found


def _gemma_object(text: str, place: int, depth: int) -> tuple[dict[str, Any], int]:
    """The pairs from behind `{` on, and where they end."""
    found: dict[str, Any] = {}
    while not text.startswith("}", place):
        key, place = _gemma_key(text, place)
        found[key], place = _gemma_value(text, place, depth + 1)
        place += text.startswith(",", place)
    return found, place + 1


def _gemma_key(text: str, place: int) -> tuple[str, int]:
    for quote in _GEMMA_QUOTES:
        if text.startswith(quote, place):
            end = text.find(quote, place + len(quote))
            if end < 0 or not text.startswith(":", end + len(quote)):
                break
            return text[place + len(quote) : end], end + len(quote) + 1
    end = text.find(":", place)
    if end < 0:
        raise CallSyntaxError("a key without a value")
    return text[place:end].strip(), end + 1


def _gemma_value(text: str, place: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_NESTING:
        raise CallSyntaxError("nested too deeply")
    for quote in _GEMMA_QUOTES:
        if text.startswith(quote, place):
            end = text.find(quote, place + len(quote))
            if end < 0:
                raise CallSyntaxError("a text that does not end")
            return text[place + len(quote) : end], end + len(quote)
    if text.startswith("{", place):
        return _gemma_object(text, place + 1, depth)
    if text.startswith("[", place):
        values: list[Any] = []
        place += 1
        while not text.startswith("]", place):
            value, place = _gemma_value(text, place, depth + 1)
            values.append(value)
            place += text.startswith(",", place)
        return values, place + 1
    end = next((i for i in range(place, len(text)) if text[i] in ",}]"), -1)
    if end < 0 or end == place:
        raise CallSyntaxError("a value that does not end")
    word = text[place:end].strip()
    try:
        return json.loads(word), end
    except ValueError:
        return word, end


def typed(call: ToolCall, parameters: Mapping[str, Any]) -> ToolCall:
    """A call whose arguments were written as text, with the types that a schema gives them."""
    if not call.raw:
        return call
    properties = parameters.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    return ToolCall(call.name, dict(_typed(call.arguments, known)))


def _typed(arguments: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, text in arguments.items():
        schema = properties.get(key)
        kinds = schema.get("type") if isinstance(schema, Mapping) else None
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "string" in kinds and (text.strip() != "null" or "null" not in kinds):
            yield key, text
            continue
        try:
            value, end = json_value(text)
            yield key, value if not text[end:].strip() else text
        except CallSyntaxError:
            yield key, {"True": True, "False": False, "None": None}.get(text.strip(), text)
