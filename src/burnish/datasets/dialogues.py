r"""Dialogues as one text, as Anthropic's HH has them: `\n\nHuman: ...\n\nAssistant: ...` (Bai 2022, arXiv:2204.05862).

Two turns of one speaker in a row, as some dialogues have them, are one message; a turn without text is none.
"""

import re
from collections.abc import Sequence
from typing import cast

from burnish.text.chat import Message

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}
_PROMPT = re.compile(r"\s*Human:.*\n\nAssistant:\s*", re.DOTALL)
_WHOLE = re.compile(r"\s*Human:.*\n\nAssistant:", re.DOTALL)


def is_dialogue(value: object) -> bool:
    """Whether a value is the text of a dialogue in which both speak."""
    return isinstance(value, str) and _WHOLE.match(value) is not None


def is_dialogue_prompt(value: object) -> bool:
    """Whether a value is the text of a dialogue that ends where the assistant is to speak."""
    return isinstance(value, str) and _PROMPT.fullmatch(value) is not None


def dialogue_prompt(text: str) -> list[Message]:
    """Return the messages before the answer that is to come."""
    return _messages(_turns(text))


def dialogue_pair(chosen: str, rejected: str) -> tuple[list[Message], str, str] | None:
    """Return the shared messages and the two last answers, which may be empty; None where they part earlier."""
    turns, others = _turns(chosen), _turns(rejected)
    if turns[:-1] != others[:-1] or turns[-1][0] != "Assistant" or others[-1][0] != "Assistant":
        return None
    prompt = _messages(turns[:-1])
    if not prompt or prompt[-1]["role"] != "user":
        return None
    return prompt, turns[-1][1], others[-1][1]


def _turns(text: str) -> list[tuple[str, str]]:
    """Speaker and words of every turn."""
    _, *parts = _TURN.split(text.lstrip())
    return [(speaker, words.strip()) for speaker, words in zip(parts[::2], parts[1::2], strict=True)]


def _messages(turns: Sequence[tuple[str, str]]) -> list[Message]:
    messages: list[Message] = []
    for speaker, words in turns:
        if not words:
            continue
        if messages and messages[-1]["role"] == _ROLES[speaker]:
            messages[-1]["content"] = f"{messages[-1]['content']}\n\n{words}"
        else:
            messages.append(cast(Message, {"role": _ROLES[speaker], "content": words}))
    return messages
