"""Rewards of an answer's length: the soft overlong punishment, and one whose sign depends on being right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judge, Judgement, as_judgement


def overlong_punishment(n_tokens: int, *, max_length: int, cache: int) -> float:
    """0 up to `max_length - cache` tokens, down to -1 at `max_length`, -1 beyond (arXiv:2503.14476, equation 13)."""
    free = max_length - cache
    if n_tokens <= free:
        return 0.0
    return -1.0 if n_tokens > max_length else (free - n_tokens) / cache


def by_length(*, max_length: int, cache: int) -> Judge:
    """Judge answers by the punishment; an answer's length counts its stop token."""

    def judge(answers: Sequence[Answer], /) -> list[Judgement]:
        return [Judgement(overlong_punishment(len(one.tokens), max_length=max_length, cache=cache)) for one in answers]

    return judge


@dataclass(frozen=True, kw_only=True)
class CosineReward:
    """A reward that goes from one value to another with an answer's length (Yeo 2025, arXiv:2502.03373, section 4.2).

    R = r_L + (r_0 - r_L) (1 + cos(π n / max_length)) / 2 for an answer of n tokens, its stop token counted, where r_0
    is earned by the shortest and r_L by the longest: `correct` of answers that `judge` finds right, `wrong` of the
    others. What is cut, or longer than `max_length`, earns `exceeded`, right or wrong.
    """

    judge: Judge
    max_length: int
    correct: tuple[float, float] = (1.0, 0.5)
    wrong: tuple[float, float] = (-1.0, -0.5)
    exceeded: float = -1.0

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement | None]:
        """Judge each answer; nothing is said where the judge says nothing.

        Raises BurnishError where the judge says neither right nor wrong.
        """
        told = [None if one is None else as_judgement(one) for one in self.judge(answers)]
        return [None if one is None else self._scaled(answer, one) for answer, one in zip(answers, told, strict=True)]

    def _scaled(self, answer: Answer, told: Judgement) -> Judgement:
        if told.correct is None:
            raise BurnishError(
                f"the judge of a cosine reward gave {told.score:g} for {answer.text[:80]!r} and said neither right nor "
                "wrong; let it return True or False"
            )
        n_tokens = len(answer.tokens)
        if n_tokens > self.max_length or not answer.finished:
            return Judgement(self.exceeded, told.correct, "too long", f"{n_tokens} tokens")
        shortest, longest = self.correct if told.correct else self.wrong
        share = (1 + math.cos(math.pi * n_tokens / self.max_length)) / 2
        return Judgement(longest + (shortest - longest) * share, told.correct, told.reason, told.detail)
