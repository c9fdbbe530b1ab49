"""How a model's own chat template writes a call: the template is asked, no name of a model is."""

import json
import re
from dataclasses import dataclass
from typing import Any

from burnish.errors import CheckpointError, DataError
from burnish.text.chat import Message, assistant_turn
from burnish.text.tokenizer import Tokenizer
from burnish.text.tool_calls.formats import FORMATS, CallFormat
from burnish.text.tool_calls.reading import read_answer

_NAME, _ARGUMENTS = "zq_tool", {"zqkey": "zqvalue"}
_QUESTION: Message = {"role": "user", "content": "zqquestion"}
_TOOL = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "zqdoes",
        "parameters": {
            "type": "object",
            "properties": {"zqkey": {"type": "string", "description": "zqsays"}},
            "required": ["zqkey"],
        },
    },
}
CALL_ID = "call00001"
"""Nine letters and digits, as Mistral's templates demand."""


_THOUGHT = re.compile(r"(?:<think>)?\s*</think>")
"""Reasoning of no words, which some templates write before every answer."""


def opens_reasoning(prompt: str) -> bool:
    """Whether an answer to a prompt begins within reasoning."""
    return prompt.rstrip().endswith("<think>")


@dataclass(frozen=True)
class CallWriting:
    """How a template writes one call.

    before, after: the text around its arguments, the name in `before` as `name` stands; None where the arguments are
    not JSON, so that a call cannot be forced by a schema.
    """

    format: CallFormat
    name: str
    before: str | None
    after: str | None


def call_writing(tokenizer: Tokenizer) -> CallWriting:
    """How the tokenizer's chat template writes calls.

    Raises CheckpointError where it carries no tools, or writes calls in a way that is not known.
    """
    if "call writing" not in tokenizer.memory:
        tokenizer.memory["call writing"] = _found(tokenizer)
    found: CallWriting = tokenizer.memory["call writing"]
    return found


def _found(tokenizer: Tokenizer) -> CallWriting:
    call = {"type": "function", "id": CALL_ID, "function": {"name": _NAME, "arguments": _ARGUMENTS}}
    message: Any = {"role": "assistant", "content": "", "tool_calls": [call]}
    try:
        prompt, answer = assistant_turn(tokenizer, [_QUESTION, message], tools=[_TOOL])
    except DataError as error:
        raise CheckpointError(f"{_says(tokenizer)} refuses tools: {error}") from error
    if _NAME not in prompt:
        raise CheckpointError(
            f"{_says(tokenizer)} has no place for tools, so the model would not know of them; use a model that was "
            "trained with tools, or teach it: an `sft` stage with `chat_template: tools` on conversations with calls"
        )
    stop = tokenizer.stop_pattern.search(answer)
    said = answer if stop is None else answer[: stop.start()]
    for one in FORMATS:
        read = read_answer(said, one, thinking=opens_reasoning(prompt))
        if _THOUGHT.sub("", read.text).strip():
            continue
        if [(call.name, dict(call.arguments)) for call in read.calls] == [(_NAME, _ARGUMENTS)]:
            before, arguments, after = said.partition(json.dumps(_ARGUMENTS))
            if not arguments or _NAME not in before or '"zqkey"' in before:
                return CallWriting(one, _NAME, None, None)
            return CallWriting(one, _NAME, before, after)
    raise CheckpointError(
        f"{_says(tokenizer)} writes calls of tools as {said.strip()[:200]!r}, a way that is not read here; known are "
        f"those of {', '.join(one.name for one in FORMATS)}"
    )


def _says(tokenizer: Tokenizer) -> str:
    return f"the chat template of {tokenizer.source}"
