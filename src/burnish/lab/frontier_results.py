"""What the runs say together: the frontier of each method, and who lies above whom.

Notable choices:
- a method's frontier is the concave hull of its points and the reference's: answering by one of two policies at random
  has the mean of their rewards and at most the mean of their divergences, so what lies between is reached too;
- methods are compared seed by seed, over the divergences that both have reached;
- what is said of a method is computed from these numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from burnish.evaluation.formatting import percent, signed
from burnish.lab.frontier_methods import Method, Run
from burnish.lab.frontier_setting import Outcome, Samples
from burnish.lab.pretraining import mean_and_deviation

Point = tuple[float, float]
"""KL(π ∥ π_ref) in nats, and the expected reward."""

BEST_OF = "best of N"

GRID = 200
NEARLY_ALL = 0.95
"""Above on this share of the range is above everywhere: the last bit is noise."""


@dataclass(frozen=True)
class BestOf:
    """The best of `n` continuations: its expected reward over openings, and the error of that mean."""

    n: int
    reward: float
    reward_error: float

    @property
    def kl(self) -> float:
        """`log n - (n - 1) / n`, in nats: what it is if no two rewards are equal, and else more than it is."""
        return math.log(self.n) - (self.n - 1) / self.n


def best_of(samples: Samples, sizes: Sequence[int]) -> list[BestOf]:
    """For each size the expected largest reward of so many, without bias: over all subsets of an opening's samples."""
    found = []
    for n in sizes:
        rewards = np.sort(np.array(samples.rewards), axis=1)
        drawn = rewards.shape[1]
        weights = np.array([math.comb(place, n - 1) / math.comb(drawn, n) for place in range(drawn)])
        means = rewards @ weights
        error = means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else 0.0
        found.append(BestOf(n, float(means.mean()), float(error)))
    return found


@dataclass(frozen=True)
class Frontier:
    """The most reward within a divergence: corners by rising KL, straight between them, level after the last."""

    corners: Sequence[Point]

    @property
    def reach(self) -> float:
        """The divergence of the last corner."""
        return self.corners[-1][0]

    def __call__(self, kl: float) -> float:
        x, y = zip(*self.corners, strict=True)
        return float(np.interp(kl, x, y))


def frontier(points: Sequence[Point]) -> Frontier:
    """The rising part of the upper concave hull. A divergence that was estimated below zero counts as zero."""
    corners: list[Point] = []
    for x, y in sorted((max(kl, 0.0), reward) for kl, reward in points):
        if corners and y <= corners[-1][1]:
            continue
        if corners and x == corners[-1][0]:
            corners.pop()
        while len(corners) > 1 and _slope(corners[-2], (x, y)) >= _slope(corners[-2], corners[-1]):
            corners.pop()
        corners.append((x, y))
    return Frontier(corners)


def _slope(first: Point, second: Point) -> float:
    return (second[1] - first[1]) / (second[0] - first[0])


@dataclass(frozen=True)
class Comparison:
    """DPO beside another method, seed by seed.

    reach: up to which divergence, in nats. above, below: on which share of that range DPO's frontier is higher, and
    lower. difference: of the rewards, its mean over the range.
    """

    other: str
    reach: Sequence[float]
    above: Sequence[float]
    below: Sequence[float]
    difference: Sequence[float]

    @property
    def verdict(self) -> str:
        """What every seed agrees on, said of DPO."""
        if all(share >= NEARLY_ALL for share in self.above):
            return "dominates"
        if all(share >= NEARLY_ALL for share in self.below):
            return "is dominated"
        if all(difference > 0 for difference in self.difference):
            return "is higher on average"
        if all(difference < 0 for difference in self.difference):
            return "is lower on average"
        return "cannot be told apart"


@dataclass(frozen=True)
class Results:
    """The outcomes of all runs by run, of the reference (its reward and that one's error), and of best-of-N."""

    outcomes: Mapping[Run, Sequence[Outcome]]
    best: Sequence[BestOf]
    seeds: Sequence[int]

    @property
    def methods(self) -> list[Method]:
        present = {run.method for run in self.outcomes}
        return [method for method in get_args(Method) if method in present]

    @property
    def reference(self) -> BestOf:
        """The best of one."""
        return next(best for best in self.best if best.n == 1)

    def points(self, method: str, seed: int) -> list[Point]:
        """All points of a method, without the reference's."""
        if method == BEST_OF:
            return [(best.kl, best.reward) for best in self.best]
        return [
            (outcome.kl, outcome.reward)
            for run, outcomes in self.outcomes.items()
            if (run.method, run.seed) == (method, seed)
            for outcome in outcomes
        ]

    def frontier(self, method: str, seed: int) -> Frontier:
        return frontier([(0.0, self.reference.reward), *self.points(method, seed)])

    def comparison(self, other: str) -> Comparison:
        """DPO beside `other`, over the divergences that both have reached."""
        reaches, above, below, differences = [], [], [], []
        for seed in self.seeds:
            own, others = self.frontier("DPO", seed), self.frontier(other, seed)
            reach = max(0.0, min(max(kl for kl, _ in self.points(method, seed)) for method in ("DPO", other)))
            grid = np.linspace(0, reach, GRID + 1)[1:]
            gaps = np.array([own(kl) - others(kl) for kl in grid])
            reaches.append(reach)
            above.append(float((gaps > 0).mean()))
            below.append(float((gaps < 0).mean()))
            differences.append(float(gaps.mean()))
        return Comparison(other, reaches, above, below, differences)

    def comparisons(self) -> list[Comparison]:
        return [self.comparison(method) for method in (*self.methods, BEST_OF) if method != "DPO"]

    def grouped(self) -> dict[tuple[Method, str, int], list[Outcome]]:
        """The outcomes of all seeds together: by method, its setting, and the number of the evaluation."""
        groups: dict[tuple[Method, str, int], list[Outcome]] = {}
        for run, outcomes in self.outcomes.items():
            for number, outcome in enumerate(outcomes):
                groups.setdefault((run.method, run.setting, number), []).append(outcome)
        return groups


def findings(results: Results) -> list[str]:
    """In words, from the numbers alone."""
    seeds = f"{len(results.seeds)} seeds" if len(results.seeds) > 1 else "one seed"
    lines = []
    for comparison in results.comparisons():
        reach, _ = mean_and_deviation(comparison.reach)
        share, _ = mean_and_deviation(comparison.above)
        difference, deviation = mean_and_deviation(comparison.difference)
        spread = "" if deviation is None else f" (deviation over seeds {deviation:.3f})"
        lines.append(
            f"DPO beside {comparison.other}: DPO {comparison.verdict}. Up to {reach:.2f} nats its frontier is above on "
            f"{percent(share, 0)} of the range; mean difference of reward {signed(difference, 3)}{spread}."
        )
    claim = {c.other: c for c in results.comparisons()}.get("PPO, true reward")
    if claim is not None:
        held = {
            "dominates": "holds here",
            "is dominated": "is reversed here",
            "is higher on average": "holds here on average, not everywhere",
            "is lower on average": "does not hold here: PPO is higher on average",
        }.get(claim.verdict, "is not decided here")
        lines.insert(
            0, f"The paper's claim that DPO's frontier dominates even PPO's with the true reward {held} ({seeds})."
        )
    best = max(
        (mean_and_deviation([max(y for _, y in results.points(method, seed)) for seed in results.seeds])[0], method)
        for method in (*results.methods, BEST_OF)
    )
    lines.append(
        f"The highest reward is that of {best[1]}: {best[0]:.3f}; the reference has {results.reference.reward:.3f}."
    )
    return lines
