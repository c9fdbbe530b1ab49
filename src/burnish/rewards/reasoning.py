"""How an answer comes to its result, in a form in which two ways that are the same are equal.

Many samples say one thing in other words. Rejection sampling keeps one of those that compute the same: the more
different ways a prompt has, the more is learned from it (Yuan 2023, arXiv:2308.01825, section 3.3).
"""

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Protocol, runtime_checkable

from burnish.generation.answer import Answer
from burnish.rewards.judgement import WeightedJudge

_MONEY = "$€£¥"
_SIGNS = str.maketrans({"×": "*", "·": "*", "x": "*", "X": "*", "÷": "/", "−": "-", "[": "(", "]": ")"})
_NOTHING = str.maketrans("", "", f"{_MONEY}, \t")
_OPERATORS = "+-*/^"
_LEFT = f"0123456789.,%() \t{_MONEY}{_OPERATORS}"
_RIGHT = f"0123456789.,%- \t/{_MONEY}"


@runtime_checkable
class Reasoning(Protocol):
    """A judge that can tell which answers to one prompt come to their result in the same way."""

    def reasoning(self, answer: Answer, /) -> Hashable | None:
        """The way, equal for those that are the same; None where an answer shows none."""


def reasoning_of(judges: Sequence[WeightedJudge], answer: Answer) -> Hashable | None:
    """The way that the first judge sees which applies to the answer's row and looks for one; None where none does."""
    for one in judges:
        if (one.applies is None or one.applies(answer.row)) and isinstance(one.judge, Reasoning):
            return one.judge.reasoning(answer)
    return None


def equations(text: str) -> tuple[str, ...]:
    """The equations of a text in order, such as `48/2=24`: without spaces, currency and what sets thousands apart.

    On the left is something computed, on the right one number, as in GSM8K with or without its `<<…>>`.
    """
    parts = text.translate(_SIGNS).split("=")
    found = []
    for before, after in pairwise(parts):
        left = before[len(before.rstrip(_LEFT)) :].translate(_NOTHING).lstrip("*/^.%)")
        right = after[: len(after) - len(after.lstrip(_RIGHT))].translate(_NOTHING).rstrip("./-")
        if right and left.endswith((*"0123456789)%",)) and any(sign in left[1:] for sign in _OPERATORS):
            found.append(f"{left}={right}")
    return tuple(found)
