"""What the experiment `distillation` found: a student before, its teacher, and the student after each route."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.evaluation.statistics import paired_bootstrap_interval
from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.reasoning.results import ByDigits, MeanChange, passes
from burnish.lab.reasoning.routes import RL
from burnish.lab.reasoning.setting import read_measured

START, TEACHER = "student before", "the teacher"


@dataclass(frozen=True)
class Gone:
    """A route with one learning rate. chosen_by: share right of problems to learn from. after: on those held out."""

    learning_rate: float
    chosen_by: float
    operations: float
    after: ByDigits

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Gone":
        """From the notebook's values."""
        return cls(**{**kept, "after": read_measured(kept["after"])})


@dataclass(frozen=True)
class Results:
    """Policies and routes by name and seed, and the digits that were learned.

    starts: seed by seed what the student gets right, before, of the problems to learn from.
    """

    digits: Sequence[int]
    policies: Mapping[str, Sequence[ByDigits]]
    gone: Mapping[str, Sequence[Gone]]
    starts: Sequence[float]

    def rates(self, name: str) -> list[float]:
        """Of each problem of these digits, seed by seed, the share of right answers."""
        return [rate for policy in self.policies[name] for digits in self.digits for rate in policy[digits].rates]

    def passes(self, name: str, k: int) -> list[float]:
        """Of each problem of these digits, seed by seed, pass@k."""
        return [one for policy in self.policies[name] for digits in self.digits for one in passes(policy[digits], k)]

    def accuracy(self, name: str) -> tuple[float, float | None]:
        """The mean over the seeds and their deviation."""
        return mean_and_deviation(
            [sum(p[digits].accuracy for digits in self.digits) / len(self.digits) for p in self.policies[name]]
        )

    def length(self, name: str) -> float:
        """Tokens of an answer to these digits."""
        return mean_and_deviation([p[digits].length for p in self.policies[name] for digits in self.digits])[0]

    def better(self, route: str, *, seed: int) -> MeanChange:
        """A route's accuracy (`after`) beside that of RL by itself (`before`)."""
        return _change(self.rates(RL), self.rates(route), seed=seed)

    def gained(self, route: str, *, seed: int) -> MeanChange:
        """What a route made of the student's accuracy."""
        return _change(self.rates(START), self.rates(route), seed=seed)

    def solves(self, route: str, k: int, *, seed: int) -> MeanChange:
        """What a route made of the student's pass@k."""
        return _change(self.passes(START, k), self.passes(route, k), seed=seed)


def _change(before: Sequence[float], after: Sequence[float], *, seed: int) -> MeanChange:
    interval = paired_bootstrap_interval(before, after, seed=seed)
    return MeanChange(sum(before) / len(before), sum(after) / len(after), interval)
