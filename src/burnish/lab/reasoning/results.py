"""What the experiments on additions found: pre-trained policies, cases of reinforcement, and what follows from both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.evaluation.pass_at_k import pass_at_k
from burnish.evaluation.statistics import paired_bootstrap_interval
from burnish.lab.reasoning.arithmetic import Way
from burnish.lab.reasoning.reinforcing import Curves, Reinforcing
from burnish.lab.reasoning.setting import PolicyMeasures, read_measured
from burnish.report.formatting import percent, signed

ByDigits = Mapping[int, PolicyMeasures]


@dataclass(frozen=True)
class MeanChange:
    """A mean before and after, and the 95 % interval of the difference over problems."""

    before: float
    after: float
    interval: tuple[float, float]

    @property
    def grew(self) -> bool:
        return self.interval[0] > 0

    @property
    def shrank(self) -> bool:
        return self.interval[1] < 0

    def __str__(self) -> str:
        return f"from {percent(self.before, 0)} to {percent(self.after, 0)} ({self.points} points)"

    @property
    def points(self) -> str:
        """The interval in percentage points."""
        return " to ".join(signed(100 * bound, 0) for bound in self.interval)


@dataclass(frozen=True)
class CaseResult:
    """One case of reinforcement, with each seed's policy before and after it."""

    case: Reinforcing
    before: Sequence[ByDigits]
    after: Sequence[ByDigits]
    curves: Sequence[Curves]

    @classmethod
    def of(
        cls, case: Reinforcing, before: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
    ) -> "CaseResult":
        """From the notebook's values, seed by seed."""
        return cls(
            case,
            [read_measured(one) for one in before],
            [read_measured(one["after"]) for one in found],
            [Curves(**one["curves"]) for one in found],
        )

    @property
    def seeds(self) -> int:
        return len(self.before)

    def change(
        self, digits: Sequence[int], of: Callable[[PolicyMeasures], Sequence[float]], *, seed: int
    ) -> MeanChange:
        """Of a value that every problem of these digits has, over the problems of all seeds."""
        before, after = (
            [value for policy in side for count in digits for value in of(policy[count])]
            for side in (self.before, self.after)
        )
        interval = paired_bootstrap_interval(before, after, seed=seed)
        return MeanChange(sum(before) / len(before), sum(after) / len(after), interval)

    def accuracy(self, digits: Sequence[int], *, seed: int) -> MeanChange:
        """pass@1."""
        return self.change(digits, lambda measured: measured.rates, seed=seed)

    def solved(self, digits: Sequence[int], k: int, *, seed: int) -> MeanChange:
        """pass@k."""
        return self.change(digits, lambda measured: passes(measured, k), seed=seed)

    def lengths(self, digits: Sequence[int]) -> tuple[list[float], list[float]]:
        """Mean tokens of an answer to problems of these digits, before and after, seed by seed."""
        before, after = (
            [_mean([policy[count].length for count in digits]) for policy in side] for side in (self.before, self.after)
        )
        return before, after

    def curve(self, of: Callable[[Curves], Sequence[float]]) -> list[tuple[float, float]]:
        """The mean over the seeds, step by step, from 1."""
        return [(float(step), _mean(values)) for step, values in enumerate(zip(*map(of, self.curves), strict=True), 1)]


def passes(measured: PolicyMeasures, k: int) -> list[float]:
    """pass@k of each problem."""
    return [pass_at_k(measured.samples, right, k) for right in measured.right]


def pooled(policies: Sequence[ByDigits], digits: int, of: Callable[[PolicyMeasures], float | None]) -> float | None:
    """The mean of a number over those policies that have it."""
    values = [value for policy in policies if (value := of(policy[digits])) is not None]
    return _mean(values) if values else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def findings(result: CaseResult, ways: Sequence[Way], ks: Sequence[int], *, seed: int) -> list[str]:
    """What became of one case, computed: the way that answers are written in, accuracy and length, and pass@k."""
    case, n = result.case, result.seeds
    won = [_winner(after, ways, case.digits) for after in result.after]
    share = _mean([_share(after, way, case.digits) for after, way in zip(result.after, won, strict=True)])
    named = ", ".join(f"{way} in {won.count(way)} of {n} seeds" for way in dict.fromkeys(won))
    start = _mean([_share(before, way, case.digits) for before, way in zip(result.before, won, strict=True)])
    frequent = sum(way == _winner(before, ways, case.digits) for before, way in zip(result.before, won, strict=True))
    right = sum(way == _most_right(before, ways, case.digits) for before, way in zip(result.before, won, strict=True))
    lengths = [_mean(side) for side in result.lengths(case.digits)]
    most = max(ks)
    solved = result.solved(case.digits, most, seed=seed)
    beyond = "more problems than" if solved.grew else "fewer problems than" if solved.shrank else "no other number than"
    return [
        f"{case.name}: afterwards {percent(share, 0)} of the answers are written in one way ({named}), before "
        f"{percent(start, 0)}. Before, it was the most frequent way in {frequent} and the one most often right in "
        f"{right} of {n} seeds.",
        f"{case.name}: the share of right answers goes {result.accuracy(case.digits, seed=seed)}, the length from "
        f"{lengths[0]:.0f} to {lengths[1]:.0f} tokens. R1-Zero's claim {claim_verdict(result, seed=seed)}.",
        f"{case.name}: pass@{most} goes {solved}: with {most} samples it solves {beyond} before.",
    ]


def _share(policy: ByDigits, way: Way, digits: Sequence[int]) -> float:
    return _mean([policy[count].share(way) for count in digits])


def _winner(policy: ByDigits, ways: Sequence[Way], digits: Sequence[int]) -> Way:
    """The most frequent way."""
    return max(ways, key=lambda way: _share(policy, way, digits))


def _most_right(policy: ByDigits, ways: Sequence[Way], digits: Sequence[int]) -> Way:
    """The way whose answers are right most often."""

    def rate(way: Way) -> float:
        samples = sum(policy[count].ways[way] for count in digits)
        return sum(policy[count].right_ways[way] for count in digits) / samples if samples else 0.0

    return max(ways, key=rate)


def claim_verdict(result: CaseResult, *, seed: int) -> str:
    """Whether accuracy and length grew by a reward of the final answer alone, as DeepSeek-R1-Zero's did."""
    digits = result.case.digits
    accuracy = result.accuracy(digits, seed=seed)
    before, after = result.lengths(digits)
    longer = sum(two > one for one, two in zip(before, after, strict=True))
    grew = accuracy.grew and longer == result.seeds
    if grew and accuracy.after > 0.5:
        return "holds here: accuracy and length grow, and most answers are right afterwards"
    if grew:
        return "holds in part: accuracy and length grow, but most answers are still wrong"
    if accuracy.grew:
        return "holds in part: accuracy grows, length does not in every seed"
    return "does not hold here: accuracy " + ("falls" if accuracy.shrank else "does not change beyond its interval")
