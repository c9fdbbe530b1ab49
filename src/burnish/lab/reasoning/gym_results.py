"""What the experiment `smollm2` found, task by task, of the policies after each way of training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.evaluation.statistics import paired_bootstrap_interval
from burnish.lab.reasoning.gym_setting import Graded
from burnish.lab.reasoning.results import MeanChange

SFT, GRPO, MORE_SFT = "short SFT", "then GRPO", "then more SFT"
POLICIES = (SFT, GRPO, MORE_SFT)

WANTED = 0.2
"""The gain that is asked for: 20 points."""


@dataclass(frozen=True)
class GymResults:
    """Seed by seed what each policy answers to each task, what its training has cost, and what GRPO's samples earned.

    floors: by task what an answer earns that solves nothing, the largest of the seeds.
    """

    policies: Mapping[str, Sequence[Mapping[str, Graded]]]
    operations: Mapping[str, Sequence[float]]
    examples: Mapping[str, Sequence[int]]
    rewards: Sequence[Mapping[str, Sequence[float]]]
    floors: Mapping[str, float]

    @classmethod
    def of(cls, found: Sequence[Mapping[str, Any]]) -> "GymResults":
        """From the notebook's values, seed by seed."""
        return cls(
            {
                policy: [
                    {task: Graded(**graded) for task, graded in seed["policies"][policy].items()} for seed in found
                ]
                for policy in POLICIES
            },
            {policy: [seed["operations"][policy] for seed in found] for policy in (GRPO, MORE_SFT)},
            {policy: [seed["examples"][policy] for seed in found] for policy in (GRPO, MORE_SFT)},
            [seed["rewards"] for seed in found],
            {task: max(seed["floors"][task] for seed in found) for task in found[0]["floors"]},
        )

    @property
    def tasks(self) -> list[str]:
        return list(self.floors)

    def rates(self, policy: str, task: str, *, greedy: bool = False) -> list[float]:
        """Of each problem, seed by seed, how often its answers are right: of all samples, or of the most probable."""
        return [
            rate
            for seed in self.policies[policy]
            for rate in (map(float, seed[task].greedy) if greedy else seed[task].rates)
        ]

    def by_seed(self, policy: str, task: str) -> list[float]:
        """pass@1 of each seed."""
        return [sum(seed[task].rates) / len(seed[task].rates) for seed in self.policies[policy]]

    def gain(self, task: str, policy: str, start: str = SFT, *, seed: int, greedy: bool = False) -> MeanChange:
        """What a policy answers right beside another."""
        before, after = (self.rates(name, task, greedy=greedy) for name in (start, policy))
        interval = paired_bootstrap_interval(before, after, seed=seed)
        return MeanChange(sum(before) / len(before), sum(after) / len(after), interval)
