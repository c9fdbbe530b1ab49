"""A price for length: the soft overlong punishment (DAPO, arXiv:2503.14476, equation 13)."""

from collections.abc import Sequence

from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judge, Judgement


def overlong_punishment(n_tokens: int, *, max_length: int, cache: int) -> float:
    """0 up to `max_length - cache` tokens, from there down to -1 at `max_length`, and -1 beyond."""
    free = max_length - cache
    if n_tokens <= free:
        return 0.0
    return -1.0 if n_tokens > max_length else (free - n_tokens) / cache


def by_length(*, max_length: int, cache: int) -> Judge:
    """Judge answers by the punishment; an answer's length counts its stop token."""

    def judge(answers: Sequence[Answer], /) -> list[Judgement]:
        return [Judgement(overlong_punishment(len(one.tokens), max_length=max_length, cache=cache)) for one in answers]

    return judge
