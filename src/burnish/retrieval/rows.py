"""Rows with passages of an index before their question, to learn to answer from them (RAFT: arXiv:2403.10131).

A model that was only ever taught questions without passages has not learned to look into them. Some of the passages do
not have the answer, as in use: search finds what it finds.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from burnish.errors import DataError
from burnish.retrieval.grounding import Passages

Row = Mapping[str, Any]


def chosen(question: str, share: float) -> bool:
    """Whether a question is among the share that gets passages; a hash of it decides."""
    return int.from_bytes(hashlib.blake2b(question.encode(), digest_size=8).digest()) < share * 2**64


def with_passages(
    row: Row, passages: Passages, count: Callable[[str], int], share: float = 1.0
) -> tuple[dict[str, Any], int | None]:
    """A row with passages before its last question, and how many; None where it stays as it is, by `share`.

    row: with `messages`, or with a `prompt` that is text or messages. count: tokens of a text, as for
    `Passages.ground`. Which passages they are, the row's `passages` says. Raises DataError where no question is found.
    """
    key, turns, place = _asked(row)
    given, asked_for = row[key], str(turns[place]["content"])
    if not chosen(asked_for, share):
        return dict(row), None
    found = passages.ground(asked_for, count)
    asked = {**turns[place], "content": found.prompt}
    changed = found.prompt if isinstance(given, str) else [*turns[:place], asked, *turns[place + 1 :]]
    return {**row, key: changed, "passages": [hit.place for hit in found.hits]}, len(found.hits)


def question(row: Row) -> str:
    """The last question of a row. Raises DataError where it has none."""
    _, turns, place = _asked(row)
    return str(turns[place]["content"])


def _asked(row: Row) -> tuple[str, list[Mapping[str, Any]], int]:
    """The key of a row's messages, the messages, and the place of the last that is the user's and text."""
    key = "messages" if "messages" in row else "prompt"
    given = row.get(key)
    turns: list[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else []
    turns = given if isinstance(given, list) else turns
    for place in reversed(range(len(turns))):
        turn = turns[place]
        if isinstance(turn, Mapping) and turn.get("role") == "user" and isinstance(turn.get("content"), str):
            return key, turns, place
    raise DataError(f"'{key}': got {given!r:.80}; expected a question: text, or messages with one of the user's")
