"""What the experiment `search` found: how often each policy is right, before and after reinforcement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.evaluation.pass_at_k import pass_at_k
from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.reasoning.searching import Looked

BEFORE, AGAIN = "before", "before, asked again"


@dataclass(frozen=True)
class Results:
    """What each policy says, by its name and seed by seed; `samples` of each problem."""

    policies: Mapping[str, Sequence[Looked]]
    samples: int

    @property
    def ks(self) -> list[int]:
        """Powers of four up to the samples, and these."""
        return sorted({4**power for power in range(8) if 4**power < self.samples} | {self.samples})

    def right(self, name: str) -> list[int]:
        """Of each problem, seed by seed, how many samples are right."""
        return [right for looked in self.policies[name] for right in looked.right]

    def passes(self, name: str, k: int, *, hard: bool = False) -> list[float]:
        """pass@k of each problem, seed by seed; of the hard ones alone, if so asked."""
        return [
            pass_at_k(looked.samples, right, k)
            for looked in self.policies[name]
            for right, is_hard in zip(looked.right, looked.hard, strict=True)
            if is_hard or not hard
        ]

    def by_seed(self, name: str) -> tuple[float, float | None]:
        """pass@1: the mean of the seeds, and their deviation."""
        return mean_and_deviation([sum(looked.right) / looked.n for looked in self.policies[name]])

    def mean(self, name: str, of: str) -> float:
        """What there is of something in a sample, on average."""
        seeds = self.policies[name]
        return sum(getattr(looked, of) for looked in seeds) / sum(looked.n for looked in seeds)

    def missed(self) -> list[bool]:
        """Of each problem whether all samples before were wrong; further problems are not among these."""
        return [right == 0 for right in self.right(BEFORE)]

    def new(self, name: str) -> list[float]:
        """Of each problem that was missed, the further ones too, 1 where a sample of this policy is right."""
        return [float(right > 0) for right in self.right_of_missed(name)]

    def right_of_missed(self, name: str) -> list[int]:
        """Of each problem that was missed, the further ones too, how many samples of this policy are right."""
        own = [right for right, missed in zip(self.right(name), self.missed(), strict=True) if missed]
        return own + [right for looked in self.policies[name] for right in looked.further]

    def lost(self, name: str) -> list[float]:
        """Of each problem that was solved before, 1 where all samples of this policy are wrong."""
        return [float(right == 0) for right, missed in zip(self.right(name), self.missed(), strict=True) if not missed]
