"""Words: several ways to say one thing, some of which only the test set uses, and who chooses among them.

Training takes turns: a few thousand questions have many parts and words that come up two or three times, and by chance
alone some of these never would. The test set is drawn by chance.
"""

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_NEW_WORDS = 0.3  # how often the test set says a part in its own words, where it has some
_EVENNESS = 0.5
"""Exponent of the weights of columns, values and groups in training, where those that are seldom named count too."""
_FEW = 100
"""More choices than these are names to copy, not words to learn: they need no turns."""


@dataclass(frozen=True)
class Ways:
    """Ways to say one thing, with slots in braces: `train` everywhere, `test` in the test set alone."""

    train: tuple[str, ...]
    test: tuple[str, ...] = ()


def ways(train: str, test: str = "") -> Ways:
    """Ways from texts in which a bar stands between them."""
    return Ways(tuple(train.split("|")), tuple(test.split("|")) if test else ())


class Turns:
    """Draws so that each choice comes round as often as its weight says, with chance in the order only."""

    def __init__(self) -> None:
        self._due: dict[Hashable, dict[Hashable, float]] = {}

    def draw(self, rng: random.Random, choices: Mapping[T, float], of: Hashable) -> T:
        """One of `choices`, which may be some of those that share the name `of`."""
        due = self._due.setdefault(of, {})
        total = sum(choices.values())
        for choice, weight in choices.items():
            due[choice] = due.get(choice, 0.0) + weight / total
        owed = [max(due[choice], 0.0) for choice in choices]
        drawn = rng.choices(list(choices), owed if any(owed) else list(choices.values()))[0]
        due[drawn] -= 1.0
        return drawn


class Voice:
    """Chooses parts and words; deterministic in `rng`. `turns` are those of training; the test set has none.

    Without turns the words of the test set are allowed; `new_words` counts those that were used.
    """

    def __init__(self, rng: random.Random, turns: Turns | None) -> None:
        self._rng = rng
        self._turns = turns
        self.new_words = 0

    def say(self, choice: Ways, **slots: object) -> str:
        """One of the ways, its slots filled."""
        if self._turns is None and choice.test and self._rng.random() < _NEW_WORDS:
            self.new_words += 1
            return self.one(choice.test).format(**slots)
        return self.one(choice.train).format(**slots)

    def one(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        if self._turns is None or len(choices) > _FEW:
            return choices[self._rng.randrange(len(choices))]
        return choices[self._turns.draw(self._rng, dict.fromkeys(range(len(choices)), 1.0), tuple(choices))]

    def weighted(self, choices: Mapping[T, float]) -> T:
        """One of the keys, as often as their weights say."""
        if self._turns is None:
            return self._rng.choices(list(choices), list(choices.values()))[0]
        return self._turns.draw(self._rng, choices, tuple(choices.items()))

    def part(self, choices: Mapping[T, float], of: str) -> T:
        """One of the keys, which name parts of a question: as often as people ask, in training more evenly.

        Several choices `of` the same name, some of its parts each, take turns together.
        """
        if self._turns is None:
            return self.weighted(choices)
        return self._turns.draw(self._rng, {key: weight**_EVENNESS for key, weight in choices.items()}, of)

    def sample(self, choices: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `choices`."""
        return self._rng.sample(list(choices), count)

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self._rng.random() < share

    def between(self, low: int, high: int, step: int = 1) -> int:
        """A multiple of `step` from `low` to `high`."""
        return self._rng.randrange(low, high + 1, step)
