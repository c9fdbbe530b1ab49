"""Whether a text holds what its messages say: content, reasoning, tool calls, tools.

A chat template may leave out what it has no place for, silently: a plain one renders neither tools nor calls. Two
checks find that. The same messages with a word of their own in every place are rendered once for each shape of a
conversation, so that nothing is found by accident; and each conversation is looked for in its own text, because a
template may also drop by content, such as what stands before `</think>`.

Templates strip, and write text as JSON: white space is not compared, and a text may stand in its escaped form.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

REASONING = ("reasoning_content", "thinking", "reasoning")
CONTENT, THOUGHT, CALLS, TOOLS, DESCRIPTIONS = "content", "reasoning", "tool calls", "tools", "descriptions of tools"


class CarriedPart(NamedTuple):
    """What a text should hold: the message it belongs to (counted from 0, -1 for the tools) and what it is of that."""

    place: int
    what: str


class RenderedText:
    """A rendered text in which parts of messages are looked for."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _dense(self) -> str:
        return "".join(self._text.split())

    def holds(self, part: str) -> bool:
        """Whether the text has the part, as it is or as JSON or Python write it, white space aside."""
        if part in self._text:
            return True
        forms = (part, json.dumps(part, ensure_ascii=False)[1:-1], json.dumps(part)[1:-1], repr(part)[1:-1])
        return any("".join(form.split()) in self._dense for form in forms)

    def holds_value(self, value: object) -> bool:
        """Whether the text has the names and values of an argument, however they are laid out."""
        if isinstance(value, str):
            return self.holds(value) or self._holds_json(value)
        if isinstance(value, Mapping):
            return all(self.holds(str(key)) and self.holds_value(item) for key, item in value.items())
        if isinstance(value, Sequence):
            return all(map(self.holds_value, value))
        return value is None or isinstance(value, bool) or self.holds(json.dumps(value)) or self.holds(str(value))

    def _holds_json(self, value: str) -> bool:
        """Whether a value that is JSON as text stands there as the object that it describes."""
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            return False
        return isinstance(read, dict | list) and self.holds_value(read)


def lost(
    messages: Sequence[Mapping[str, Any]], texts: Mapping[int, RenderedText], whole: RenderedText
) -> Iterator[CarriedPart]:
    """The parts of the messages that are not there.

    texts: where to look for those of a message; the others are looked for in `whole`.
    """
    for index, message in enumerate(messages):
        text = texts.get(index, whole)
        if not all(map(text.holds, content_texts(message))):
            yield CarriedPart(index, CONTENT)
        if (thought := reasoning_of(message)) and not text.holds(thought):
            yield CarriedPart(index, THOUGHT)
        calls = [call.get("function") or call for call in message.get("tool_calls") or []]
        if not all(text.holds(str(call.get("name", ""))) and text.holds_value(call.get("arguments")) for call in calls):
            yield CarriedPart(index, CALLS)


def lost_tools(tools: Sequence[Mapping[str, Any]], text: RenderedText) -> Iterator[CarriedPart]:
    """Whether the text lacks the names of the tools and of what they take, or only what is said of them."""
    functions = [tool.get("function") or tool for tool in tools]
    if not all(text.holds(name) for function in functions for name in _names(function)):
        yield CarriedPart(-1, TOOLS)
    elif not all(text.holds(str(function["description"])) for function in functions if function.get("description")):
        yield CarriedPart(-1, DESCRIPTIONS)


def content_texts(message: Mapping[str, Any]) -> list[str]:
    """The texts of a message's content."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    if isinstance(content, Sequence):
        return [part["text"] for part in content if isinstance(part, Mapping) and isinstance(part.get("text"), str)]
    return []


def reasoning_of(message: Mapping[str, Any]) -> str:
    """What a message says in the key for reasoning, under whichever name."""
    found = next((message[key] for key in REASONING if message.get(key) is not None), "")
    return found if isinstance(found, str) else ""


def marked(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """The same conversation in shape, with a word in each place that stands nowhere else."""
    words = (f"zq{number}word" for number in range(10**9))
    copies = []
    for message in messages:
        copy = {key: value for key, value in message.items() if key not in REASONING}
        content = message.get("content")
        if isinstance(content, str):
            copy["content"] = next(words) if content.strip() else content
        elif isinstance(content, Sequence):
            copy["content"] = [
                {**part, "text": next(words)} if isinstance(part, Mapping) and "text" in part else part
                for part in content
            ]
        if reasoning_of(message):
            copy["reasoning_content"] = next(words)
        if message.get("tool_calls"):
            copy["tool_calls"] = [
                {**call, "function": {"name": next(words), "arguments": {next(words): next(words)}}}
                for call in message["tool_calls"]
            ]
        copies.append(copy)
    return copies, None if tools is None else [_marked_tool(next(words)) for _ in tools]


def shape(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None) -> tuple[Any, ...]:
    """What two conversations share that are the same after `marked`."""
    return (None if tools is None else len(tools), *(_shape_of(message) for message in messages))


def _shape_of(message: Mapping[str, Any]) -> tuple[Any, ...]:
    content = message.get("content")
    calls = message.get("tool_calls") or ()
    return (
        message.get("role"),
        bool(content.strip()) if isinstance(content, str) else json.dumps(content, default=str),
        bool(reasoning_of(message)),
        len(calls),
    )


def _marked_tool(word: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {f"{word}key": {"type": "string", "description": f"{word}says"}}}
    described = {"name": word, "description": f"{word}does", "parameters": {**parameters, "required": [f"{word}key"]}}
    return {"type": "function", "function": described}


def _names(function: Mapping[str, Any]) -> list[str]:
    """The names of a function and of its parameters."""
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return [str(function.get("name", "")), *(map(str, properties) if isinstance(properties, Mapping) else ())]
