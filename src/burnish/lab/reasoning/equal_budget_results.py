"""What methods at an equal budget came to: the best of each grid, the whole of it, and differences with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.reasoning.rivals import METHODS, Method, RivalSetting

RESAMPLES = 2000
Rates = NDArray[np.float64]
"""Of each setting of a grid and each problem, the share of its samples that are right: `[settings, problems]`."""


@dataclass(frozen=True)
class PolicyOutcome:
    """A policy, and what it cost.

    chosen_by, right: of each problem, how many of `samples` answers are right; of those that settings are chosen by,
    and of those that are reported. budget_share: operations that were spent, as a share of the budget.
    """

    chosen_by: list[int]
    right: list[int]
    samples: int
    operations: float = 0.0
    seconds: float = 0.0
    sampling_seconds: float = 0.0
    steps: int = 0
    budget_share: float = 0.0

    @property
    def rates(self) -> list[float]:
        return [one / self.samples for one in self.right]

    @property
    def accuracy(self) -> float:
        return sum(self.right) / (self.samples * len(self.right))


@dataclass(frozen=True)
class Difference:
    """A number of one method less that of another, and its 95 % interval."""

    one: float
    other: float
    interval: tuple[float, float]

    @property
    def verdict(self) -> str:
        """Whether the claim that the first is the larger holds."""
        low, high = self.interval
        return "holds" if low > 0 else "is reversed" if high < 0 else "is not decided"


@dataclass(frozen=True)
class Results:
    """Outcomes of every setting, seed by seed, of the start before them, and peaks of memory in bytes."""

    before: Sequence[PolicyOutcome]
    outcomes: Mapping[RivalSetting, Sequence[PolicyOutcome]]
    memory: Mapping[Method, int]
    seed: int = 0

    def grid(self, method: Method) -> list[RivalSetting]:
        """The settings of a method."""
        return [choice for choice in self.outcomes if choice.method == method]

    @cached_property
    def best(self) -> dict[Method, RivalSetting]:
        """Of each method the setting that does best on the problems that it is chosen by."""

        def chosen_by(choice: RivalSetting) -> int:
            return sum(sum(outcome.chosen_by) for outcome in self.outcomes[choice])

        return {method: max(self.grid(method), key=chosen_by) for method in METHODS}

    def accuracy(self, choice: RivalSetting) -> tuple[float, float | None]:
        """The mean over the seeds, and their deviation."""
        return mean_and_deviation([outcome.accuracy for outcome in self.outcomes[choice]])

    def mean(self, method: Method, of: Callable[[PolicyOutcome], float]) -> float:
        """Over all settings and seeds."""
        values = [of(outcome) for choice in self.grid(method) for outcome in self.outcomes[choice]]
        return sum(values) / len(values)

    @cached_property
    def rates(self) -> dict[Method, Rates]:
        """Of each method, of its settings in their order."""
        return {
            method: np.array([[r for one in self.outcomes[choice] for r in one.rates] for choice in self.grid(method)])
            for method in METHODS
        }

    def spread(self, method: Method) -> tuple[float, tuple[float, float]]:
        """The deviation of the accuracies of a grid, and its interval over problems."""
        return self._interval(lambda draws: self._spread(method, draws))

    def _spread(self, method: Method, draws: Any) -> float:
        return float(self.rates[method][:, draws].mean(1).std())

    def worse(self, method: Method) -> float:
        """Of the settings and seeds of a grid, the share that ends below the start."""
        ends = [
            outcome.accuracy < start.accuracy
            for choice in self.grid(method)
            for outcome, start in zip(self.outcomes[choice], self.before, strict=True)
        ]
        return sum(ends) / len(ends)

    def best_difference(self, one: Method, other: Method) -> Difference:
        """Of the accuracies of both best settings."""

        def best(method: Method, draws: Any) -> float:
            return float(self.rates[method][self.grid(method).index(self.best[method])][draws].mean())

        return self._difference(best, one, other)

    def mean_difference(self, one: Method, other: Method) -> Difference:
        """Of the mean accuracies of both grids: of whoever does not know the best setting."""
        return self._difference(lambda method, draws: float(self.rates[method][:, draws].mean()), one, other)

    def spread_difference(self, one: Method, other: Method) -> Difference:
        """Of the deviations of both grids."""
        return self._difference(self._spread, one, other)

    def _difference(self, of: Callable[[Method, Any], float], one: Method, other: Method) -> Difference:
        _, interval = self._interval(lambda draws: of(one, draws) - of(other, draws))
        everything = slice(None)
        return Difference(of(one, everything), of(other, everything), interval)

    def _interval(self, of: Callable[[Any], float]) -> tuple[float, tuple[float, float]]:
        """A number of the problems, and its interval where they are drawn again."""
        rng, count = np.random.default_rng(self.seed), self.rates[METHODS[0]].shape[1]
        drawn = [of(rng.integers(count, size=count)) for _ in range(RESAMPLES)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        return of(slice(None)), (float(low), float(high))
