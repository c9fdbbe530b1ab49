"""A price for length: the soft overlong punishment (DAPO, arXiv:2503.14476, equation 13)."""

from collections.abc import Sequence

from burnish.rewards.functions import RewardFunction, Sample


def overlong_punishment(n_tokens: int, *, max_length: int, cache: int) -> float:
    """0 up to `max_length - cache` tokens, from there down to -1 at `max_length`, and -1 beyond."""
    free = max_length - cache
    if n_tokens <= free:
        return 0.0
    return -1.0 if n_tokens > max_length else (free - n_tokens) / cache


def by_length(*, max_length: int, cache: int) -> RewardFunction:
    """The punishment as a reward; a completion's length counts its stop token."""

    def reward(samples: Sequence[Sample], /) -> list[float]:
        return [overlong_punishment(sample.n_tokens, max_length=max_length, cache=cache) for sample in samples]

    return reward
