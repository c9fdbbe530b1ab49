"""Several models on the same prompts: reward, divergence from the reference, length and wins, each with its interval.

Notable choices:
- intervals resample prompts, not answers: the answers to one prompt are not independent (see `statistics`);
- the divergence of an answer is summed over its tokens, so that it is that of whole answers, in nats;
- k3 is summed token by token: by the chain rule that is as unbiased as one ratio of whole answers, and far less noisy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import correlation
from typing import Any

from torch import Tensor

from burnish.evaluation.statistics import bootstrap_interval
from burnish.objectives.kl import Estimator, kl_estimate


@dataclass(frozen=True)
class MeasuredMean:
    """A mean over prompts with its 95 % interval. count: the prompts (or pairs)."""

    value: float
    interval: tuple[float, float]
    count: int

    def row(self) -> dict[str, Any]:
        return {"value": self.value, "interval": list(self.interval), "count": self.count}


def measured(values: Sequence[float], *, n: int = 1, seed: int) -> MeasuredMean:
    """Mean of `values`, of which each prompt has `n` in a row."""
    means = [sum(values[start : start + n]) / n for start in range(0, len(values), n)]
    return MeasuredMean(sum(means) / len(means), bootstrap_interval(means, seed=seed), len(means))


def answer_divergences(logps: Sequence[Tensor], reference_logps: Sequence[Tensor], estimator: Estimator) -> list[float]:
    """Estimates of KL(π ∥ π_ref), one for each answer that was sampled from π: the sum over its tokens, in nats."""
    return [
        kl_estimate(own.double(), reference.double(), estimator).sum().item()
        for own, reference in zip(logps, reference_logps, strict=True)
    ]


def wins(scores: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """1 where a score is above the baseline's, 0 where it is below, a half where they are equal."""
    return [0.5 + 0.5 * ((one > other) - (one < other)) for one, other in zip(scores, baseline, strict=True)]


def pairs_ranked_right(chosen: Sequence[float], rejected: Sequence[float], *, seed: int) -> MeasuredMean:
    """Share of the pairs whose chosen answer scores above the rejected one; equal scores count half."""
    return measured(wins(chosen, rejected), seed=seed)


def implicit_rewards(
    logps: Sequence[Tensor], reference_logps: Sequence[Tensor], *, per_token: bool = False
) -> list[float]:
    """`log π(y|x) / π_ref(y|x)` of whole answers: DPO's implicit reward (Rafailov 2023, section 4) without its β.

    per_token: the mean over an answer's tokens instead of the sum.
    """
    ratios = (own.double() - reference.double() for own, reference in zip(logps, reference_logps, strict=True))
    return [(ratio.mean() if per_token else ratio.sum()).item() for ratio in ratios]


def length_correlation(chosen: Sequence[float], rejected: Sequence[float], longer: Sequence[int]) -> float:
    """Pearson's r, over pairs, between the margin of the scores and how many tokens longer the chosen answer is.

    Far from 0 the score tells long from short more than good from bad. 0 where margins or differences are all alike.
    """
    margins = [one - other for one, other in zip(chosen, rejected, strict=True)]
    return correlation(margins, longer) if len(set(margins)) > 1 and len(set(longer)) > 1 else 0.0


def training_cost(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Time and memory of the stages that made a model, from their records, the model's own stage last.

    Empty for a model that no run has made.
    """
    if not stages:
        return {}
    return {
        "stages": [
            {
                "name": stage["name"],
                "type": stage["type"],
                "seconds": float(stage["wall_seconds"]),
                "peak_rss_gib": float(stage["peak_rss_gib"]),
            }
            for stage in stages
        ],
        "seconds": sum(float(stage["wall_seconds"]) for stage in stages),
        "peak_rss_gib": max(float(stage["peak_rss_gib"]) for stage in stages),
    }
