"""What the runs say together: the frontier of each method, and who lies above whom.

Notable choices:
- a method's frontier is the concave hull of its points and the reference's: answering by one of two policies at random
  has the mean of their rewards and at most the mean of their divergences, so what lies between is reached too;
- methods are compared seed by seed, over the divergences that both have reached, and against the errors of the points;
- what is said of a method is computed from these numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from burnish.lab.frontier.methods import Method, Training
from burnish.lab.frontier.setting import FrontierOutcome, Samples
from burnish.lab.pretraining import mean_and_deviation
from burnish.report.formatting import percent, signed

Floats = npt.NDArray[np.float64]
Point = tuple[float, float]
"""KL(π ∥ π_ref) in nats, and the expected reward."""

BEST_OF = "best of N"

GRID = 200
_RESAMPLES = 200
ERRORS = 2.0
"""A difference counts from so many of its standard errors on."""
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
        return float(self.at(np.array(kl)))

    def at(self, kls: Floats) -> Floats:
        """The rewards at many divergences."""
        x, y = zip(*self.corners, strict=True)
        return np.interp(kls, x, y)


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
class Dominance:
    """DPO beside another method, seed by seed.

    reach: up to which divergence, in nats. above, below: on which share of that range DPO's frontier is higher, and
    lower. difference: of the rewards, its mean over the range. error: of the mean of these, from the standard errors of
    all points.
    """

    other: str
    reach: Sequence[float]
    above: Sequence[float]
    below: Sequence[float]
    difference: Sequence[float]
    error: float

    @property
    def verdict(self) -> str:
        """What every seed agrees on and chance does not explain, said of DPO."""
        mean, _ = mean_and_deviation(self.difference)
        if abs(mean) <= ERRORS * self.error:
            return "cannot be told apart"
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

    outcomes: Mapping[Training, Sequence[FrontierOutcome]]
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

    def measured(self, method: str, seed: int) -> Floats:
        """KL, reward, and the standard errors of both, of all points of a method without the reference: `[n, 4]`."""
        if method == BEST_OF:
            rows = [(best.kl, best.reward, 0.0, best.reward_error) for best in self.best]
        else:
            rows = [
                (outcome.kl, outcome.reward, outcome.kl_error, outcome.reward_error)
                for run, outcomes in self.outcomes.items()
                if (run.method, run.seed) == (method, seed)
                for outcome in outcomes
            ]
        return np.array(rows)

    def points(self, method: str, seed: int) -> list[Point]:
        """All points of a method, without the reference's."""
        return [(kl, reward) for kl, reward, _, _ in self.measured(method, seed).tolist()]

    def frontier(self, method: str, seed: int) -> Frontier:
        return frontier([(0.0, self.reference.reward), *self.points(method, seed)])

    def comparison(self, other: str) -> Dominance:
        """DPO beside `other`, over the divergences that both have reached."""
        reaches, gaps = [], []
        for seed in self.seeds:
            reach = max(0.0, min(max(kl for kl, _ in self.points(method, seed)) for method in ("DPO", other)))
            reaches.append(reach)
            grid = np.linspace(0, reach, GRID + 1)[1:]
            gaps.append(self.frontier("DPO", seed).at(grid) - self.frontier(other, seed).at(grid))
        return Dominance(
            other,
            reaches,
            [float((gap > 0).mean()) for gap in gaps],
            [float((gap < 0).mean()) for gap in gaps],
            [float(gap.mean()) for gap in gaps],
            self._error(other, reaches),
        )

    def _error(self, other: str, reaches: Sequence[float]) -> float:
        """The deviation of the mean difference where every point is moved by chance, as far as its errors say."""
        rng = np.random.default_rng(0)
        differences = []
        for _ in range(_RESAMPLES):
            reference = (0.0, rng.normal(self.reference.reward, self.reference.reward_error))
            of_seeds = []
            for seed, reach in zip(self.seeds, reaches, strict=True):
                grid = np.linspace(0, reach, GRID + 1)[1:]
                own, others = (
                    frontier([reference, *map(tuple, rng.normal(values[:, :2], values[:, 2:]).tolist())]).at(grid)
                    for values in (self.measured(method, seed) for method in ("DPO", other))
                )
                of_seeds.append(float((own - others).mean()))
            differences.append(sum(of_seeds) / len(of_seeds))
        return float(np.std(differences))

    def comparisons(self) -> list[Dominance]:
        return [self.comparison(method) for method in (*self.methods, BEST_OF) if method != "DPO"]

    def grouped(self) -> dict[tuple[Method, str, int], list[FrontierOutcome]]:
        """The outcomes of all seeds together: by method, its setting, and the number of the evaluation."""
        groups: dict[tuple[Method, str, int], list[FrontierOutcome]] = {}
        for run, outcomes in self.outcomes.items():
            for number, outcome in enumerate(outcomes):
                groups.setdefault((run.method, run.setting, number), []).append(outcome)
        return groups


def findings(results: Results) -> list[str]:
    """In words, from the numbers alone."""
    seeds = f"{len(results.seeds)} seeds" if len(results.seeds) > 1 else "one seed"
    lines = []
    comparisons = results.comparisons()
    for comparison in comparisons:
        reach, _ = mean_and_deviation(comparison.reach)
        share, _ = mean_and_deviation(comparison.above)
        difference, _ = mean_and_deviation(comparison.difference)
        lines.append(
            f"DPO beside {comparison.other}: DPO {comparison.verdict}. Up to {reach:.2f} nats its frontier is above on "
            f"{percent(share, 0)} of the range; mean difference {signed(difference, 3)} ± {comparison.error:.3f}."
        )
    claim = {comparison.other: comparison for comparison in comparisons}.get("PPO, true reward")
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
