"""Answers as steps: split at a separator, and as tokens of which it is known where each step ends.

Notable choices:
- each step is encoded alone, with the separator behind it, also behind the last: the token at which a step is judged is
  the same however the answer goes on, and what TRL's PRMTrainer makes of the same steps is the same tokens;
- white space between two separators is no step.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.text.tokenizer import Tokenizer

STEP_SEPARATOR = "\n"
"""Steps are lines unless said otherwise, as in TRL."""


@dataclass(frozen=True, slots=True)
class StepText:
    """A step of an answer. end: how many characters of the answer there are up to its end, its separator included."""

    text: str
    end: int


def split_steps(answer: str, separator: str) -> list[StepText]:
    """The steps of an answer, in order; none where it is white space alone."""
    steps, start = [], 0
    for piece in answer.split(separator):
        start += len(piece) + len(separator)
        if piece.strip():
            steps.append(StepText(piece, min(start, len(answer))))
    return steps


def encode_steps(tokenizer: Tokenizer, steps: Sequence[str], separator: str) -> tuple[list[int], list[int]]:
    """Token ids of the steps, a separator behind each, and of each step the place of its last token among them."""
    closing = tokenizer.encode(separator)
    tokens: list[int] = []
    ends = []
    for step in steps:
        tokens += tokenizer.encode(step) + closing
        ends.append(len(tokens) - 1)
    return tokens, ends


def token_places(tokenizer: Tokenizer, tokens: Sequence[int], ends: Sequence[int]) -> list[int]:
    """The place of the first token with which the text of `tokens` has `ends[i]` characters, for each i."""

    def length(place: int) -> int:
        # The bytes of a character that is not whole yet are written as one that stands for them.
        return len(tokenizer.decode(tokens[: place + 1]).rstrip("\ufffd"))

    return [min(bisect_left(range(len(tokens)), end, key=length), len(tokens) - 1) for end in ends]
