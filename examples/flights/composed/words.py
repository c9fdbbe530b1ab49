"""Words: several ways to say one thing, some of which only the test set uses, and who chooses among them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_NEW_WORDS = 0.3  # how often the test set says a part in its own words, where it has some


@dataclass(frozen=True)
class Ways:
    """Ways to say one thing, with slots in braces: `train` everywhere, `test` in the test set alone."""

    train: tuple[str, ...]
    test: tuple[str, ...] = ()


def ways(train: str, test: str = "") -> Ways:
    """Ways from texts in which a bar stands between them."""
    return Ways(tuple(train.split("|")), tuple(test.split("|")) if test else ())


class Voice:
    """Chooses parts and words; deterministic in `rng`.

    `testing` allows the words of the test set; `new_words` counts those that were used.
    """

    def __init__(self, rng: random.Random, *, testing: bool) -> None:
        self._rng = rng
        self.testing = testing
        self.new_words = 0

    def say(self, choice: Ways, **slots: object) -> str:
        """One of the ways, its slots filled."""
        if self.testing and choice.test and self._rng.random() < _NEW_WORDS:
            self.new_words += 1
            return self.one(choice.test).format(**slots)
        return self.one(choice.train).format(**slots)

    def one(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[self._rng.randrange(len(choices))]

    def weighted(self, choices: dict[T, float]) -> T:
        """One of the keys, as often as their weights say."""
        return self._rng.choices(list(choices), list(choices.values()))[0]

    def sample(self, choices: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `choices`."""
        return self._rng.sample(list(choices), count)

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self._rng.random() < share

    def between(self, low: int, high: int, step: int = 1) -> int:
        """A multiple of `step` from `low` to `high`."""
        return self._rng.randrange(low, high + 1, step)
