"""Rewards as named, weighted functions of samples; each is logged apart.

Notable choices:
- a function gets all samples of a rollout at once, so that equal queries run once and a model scores a batch;
- what a function returns is checked: a number for each sample, and a finite one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from burnish.errors import BurnishError
from burnish.rewards.verdict import Verifier


@dataclass(frozen=True)
class Sample:
    """A completion that is to be rewarded.

    prompt: the messages that were answered. row: the row of the task as it stands in the file.
    n_tokens: length of the completion, its stop token included. finished: whether the model ended it itself.
    """

    prompt: Sequence[Mapping[str, Any]]
    completion: str
    row: Mapping[str, Any]
    n_tokens: int = 0
    finished: bool = True


class RewardFunction(Protocol):
    """Rewards samples: one number each."""

    def __call__(self, samples: Sequence[Sample], /) -> Sequence[float]: ...


@dataclass(frozen=True)
class Reward:
    """One term of the reward: its name in the metrics, and what it is multiplied by before the terms are added."""

    name: str
    function: RewardFunction
    weight: float = 1.0


def each(function: Callable[[Sequence[Mapping[str, Any]], str, Mapping[str, Any]], float]) -> RewardFunction:
    """A reward function out of one that judges a single (prompt, completion, row)."""
    return lambda samples: [function(sample.prompt, sample.completion, sample.row) for sample in samples]


def by_verifier(verifier: Verifier) -> RewardFunction:
    """1 for a completion that the verifier finds correct, else 0."""

    def reward(samples: Sequence[Sample], /) -> list[float]:
        verdicts = verifier.verify_many([sample.completion for sample in samples], [sample.row for sample in samples])
        return [float(verdict.correct) for verdict in verdicts]

    return reward


def reward_samples(rewards: Sequence[Reward], samples: Sequence[Sample]) -> list[list[float]]:
    """For each reward its unweighted value of each sample.

    Raises BurnishError for a function that does not return one finite number for each sample.
    """
    values = []
    for reward in rewards:
        found = [float(value) for value in reward.function(samples)]
        if len(found) != len(samples):
            raise BurnishError(
                f"reward '{reward.name}': {len(found)} numbers for {len(samples)} samples; return one each"
            )
        wrong = next((place for place, value in enumerate(found) if not math.isfinite(value)), None)
        if wrong is not None:
            raise BurnishError(
                f"reward '{reward.name}': {found[wrong]} for the completion {samples[wrong].completion[:80]!r}; "
                "return a finite number"
            )
        values.append(found)
    return values
