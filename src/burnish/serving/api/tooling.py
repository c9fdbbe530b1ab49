"""Tools of a request: what the model is told of them, how its calls are read, checked and forced."""

import json
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from burnish.datasets.bad_rows import BadRowError
from burnish.datasets.tool_calls import read_calls
from burnish.errors import BurnishError
from burnish.generation.grammar import Grammar, Grammars
from burnish.serving.api.faults import ApiError
from burnish.serving.api.protocol import ChatRequest
from burnish.text.chat import Message
from burnish.text.tokenizer import Tokenizer
from burnish.text.tool_calls.checking import Tools
from burnish.text.tool_calls.detection import CallWriting, call_writing, opens_reasoning
from burnish.text.tool_calls.reading import CallReader

_ID = string.ascii_letters + string.digits


@dataclass(frozen=True)
class ToolUse:
    """The tools of one request. forced: those of which one must be called. several: whether several may be."""

    tools: Tools
    writing: CallWriting
    forced: Sequence[str] = ()
    several: bool = True
    thinking: bool = False

    def kept(self, tokenizer: Tokenizer) -> frozenset[int]:
        """Control tokens that calls are written with."""
        return self.writing.format.kept_ids(tokenizer)

    def reading(self) -> "Reading":
        """The beginning of one choice."""
        return Reading(self, CallReader(self.writing.format, thinking=self.thinking and not self.forced))

    def grammar(self, grammars: Grammars) -> Grammar | None:
        """A call of one of the tools that must be called; None where the model is free."""
        if not self.forced:
            return None
        before, after = self.writing.before, self.writing.after
        if before is None or after is None:
            raise ApiError(
                400,
                f"tool_choice: calls as this model writes them ({self.writing.format.name}) cannot be forced; "
                "leave it at auto",
                code="invalid_value",
                param="tool_choice",
            )
        try:
            return grammars.calls(
                [(before.replace(self.writing.name, name), self.tools.parameters[name], after) for name in self.forced]
            )
        except (ValueError, BurnishError) as error:
            raise ApiError(400, f"tools: {error}", code="invalid_value", param="tools") from error


class Reading:
    """One choice while it is written: its text, and the calls in it that are right."""

    def __init__(self, use: ToolUse, reader: CallReader) -> None:
        self._use, self._reader = use, reader
        self.calls: list[dict[str, Any]] = []
        self.wrong: list[str] = []

    def add(self, piece: str, *, last: bool) -> tuple[str, list[dict[str, Any]]]:
        """Text and calls, as deltas of a stream have them, that are certain now and were not before."""
        text, deltas = "", []
        for read in [self._reader.add(piece), *([self._reader.finish()] if last else [])]:
            text += read.text
            self.wrong += read.wrong
            for call in read.calls:
                checked, problem = self._use.tools.checked(call)
                if problem is None and self.calls and not self._use.several:
                    problem = "parallel_tool_calls is false, and one tool is called already"
                arguments = json.dumps(checked.arguments, ensure_ascii=False)
                if problem is not None:
                    self.wrong.append(f"{checked.name[:64]}({arguments[:500]}): {problem}")
                    continue
                name = "".join(secrets.choice(_ID) for _ in range(9))
                function = {"name": checked.name, "arguments": arguments}
                deltas.append({"index": len(self.calls), "id": name, "type": "function", "function": function})
                self.calls.append({"id": name, "type": "function", "function": function})
        return text, deltas


def offered(tokenizer: Tokenizer, asked: ChatRequest) -> ToolUse | None:
    """The tools that a request shows the model; None without any.

    Raises ApiError where a definition is none, or the model's chat template carries no tools.
    """
    definitions = asked.shown_tools
    if not definitions:
        return None
    try:
        tools, writing = Tools(definitions), call_writing(tokenizer)
    except BurnishError as error:
        raise ApiError(
            400, f"tools: {error}".replace("tools: tools", "tools"), code="invalid_value", param="tools"
        ) from error
    return ToolUse(tools, writing, asked.forced_tools, asked.parallel_tool_calls is not False)


def begins_in_reasoning(tokenizer: Tokenizer, prompt: Sequence[int]) -> bool:
    """Whether an answer to a prompt of these tokens begins within reasoning."""
    return opens_reasoning(tokenizer.decode(prompt[-8:], skip_special=False))


def plain_messages(asked: ChatRequest) -> list[Message]:
    """The conversation as templates read it: arguments as objects, a tool's result with the name of its tool."""
    names: dict[str, str] = {}
    found: list[Message] = []
    for place, message in enumerate(asked.messages):
        plain = message.plain()
        try:
            calls = read_calls(plain, f"messages[{place}]") if message.role == "assistant" else []
        except BadRowError as error:
            raise ApiError(400, str(error), code="invalid_value", param="messages") from error
        if message.tool_calls and message.role != "assistant":
            said = f"messages[{place}] is from {message.role} and calls a tool; only the assistant does"
            raise ApiError(400, said, code="invalid_value", param="messages")
        if plain["content"] is None and not calls:
            also = " or tool_calls" if message.role == "assistant" else ""
            said = f"messages[{place}].content: null, from {message.role}; expected text{also}"
            raise ApiError(400, said, code="invalid_value", param="messages")
        if calls:
            plain |= {"tool_calls": calls, "content": plain["content"] or ""}
            names |= {str(call["id"]): call["function"]["name"] for call in calls if "id" in call}
        if message.role == "tool" and message.name is None and message.tool_call_id in names:
            plain["name"] = names[message.tool_call_id]
        found.append(cast("Message", plain))
    return found
