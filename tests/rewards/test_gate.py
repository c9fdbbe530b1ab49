"""A gate: the first answer that is good enough is given, or none, and that is said."""

import math

import pytest

from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.rewards.gate import Gated, through_gate
from burnish.rewards.judgement import each

BY_LENGTH = each(lambda _prompt, text, _row: float(len(text)))
TEXTS = ["a", "abc", "ab", "abcd"]


@pytest.mark.parametrize(
    ("threshold", "attempts", "given", "sampled", "score"),
    [(0, 4, "a", 1, 1), (2, 4, "abc", 2, 3), (4, 4, "abcd", 4, 4), (4, 3, None, 3, 3), (9, 1, None, 1, 1)],
)
def test_the_first_that_passes(threshold: float, attempts: int, given: str | None, sampled: int, score: float) -> None:
    asked: list[int] = []

    def sample(attempt: int) -> Answer:
        asked.append(attempt)
        return Answer([], TEXTS[attempt])

    found = through_gate(sample, BY_LENGTH, threshold=threshold, attempts=attempts)
    assert (found.answer and found.answer.text, found.attempts, found.score) == (given, sampled, score)
    assert asked == list(range(sampled))


def test_what_cannot_be_judged_does_not_pass() -> None:
    nothing = through_gate(lambda _: Answer([], "a"), lambda said: [None for _ in said], threshold=0, attempts=2)
    assert nothing == Gated(None, 2, None)
    with pytest.raises(BurnishError, match="judge 'gate': nan for the answer 'a'"):
        through_gate(lambda _: Answer([], "a"), each(lambda *_: math.nan), threshold=0, attempts=2)
