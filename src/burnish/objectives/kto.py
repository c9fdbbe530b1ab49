"""Kahneman-Tversky optimization (Ethayarajh 2024, arXiv:2402.01306): single answers, desired or not."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from burnish.datasets.batches import REFERENCE_LOGPS, Batch, Column
from burnish.objectives.objective import Mean, Measured, Metric, Number, Total

DESIRED = Column("desired", "row")
"""Whether an answer is a desired one, bool."""
KL = Column("kl", "batch")
"""The step's baseline."""


def kl_baseline(mismatched_logps: Tensor, mismatched_reference_logps: Tensor) -> Tensor:
    """The reference point z_0 of section 4.1: an estimate of KL(π_θ ∥ π_ref), in nats, not below zero; a scalar.

    Both are `[n]`: the summed log-probabilities of answers to *other* prompts. They have no gradient.
    """
    return (mismatched_logps - mismatched_reference_logps).mean().clamp(min=0)


def kto_loss(
    log_ratios: Tensor,
    desired: Tensor,
    kl: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Equation 7, with `r = log(π_θ(y|x) / π_ref(y|x))`, the loss of each answer:

        λ_D (1 - σ(β (r - z_0)))    where y is desired
        λ_U (1 - σ(β (z_0 - r)))    where it is not

    log_ratios `[n]`, summed over the answer's tokens; desired `[n]` bool; kl: z_0.
    """
    sign = torch.where(desired, 1.0, -1.0)
    weights = torch.where(desired, desirable_weight, undesirable_weight)
    return weights * torch.sigmoid(-beta * sign * (log_ratios - kl))


@dataclass(frozen=True)
class KTO:
    """The objective over `labelled_batches` with the column `kl`, the step's baseline; with TRL's metric names.

    `rewards/chosen` and `logps/chosen` are means over the step's desired answers, `.../rejected` over the others; a
    step without any does not have them.
    """

    beta: float
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    reads: ClassVar[tuple[Column, ...]] = (REFERENCE_LOGPS, DESIRED, KL)

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        return (batch.n_rows,)

    def __call__(self, logps: Tensor, batch: Batch) -> Measured:
        token_logps, desired, kl = logps[batch.entries], batch.column(DESIRED), batch.column(KL)
        answer_logps = batch.row_sums(token_logps)
        log_ratios = answer_logps - batch.row_sums(batch.column(REFERENCE_LOGPS))
        losses = kto_loss(
            log_ratios,
            desired,
            kl,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )
        metrics: dict[str, Metric] = {"kl": Mean(kl * batch.n_rows, batch.n_rows)}
        rewards, counts = [], []
        for name, of_kind in (("chosen", desired), ("rejected", ~desired)):
            counts.append(of_kind.sum())
            rewards.append(self.beta * (log_ratios.detach() * of_kind).sum())
            metrics[f"rewards/{name}"] = Mean(rewards[-1], counts[-1])
            metrics[f"logps/{name}"] = Mean((answer_logps * of_kind).sum(), counts[-1])
        metrics["rewards/margins"] = Total((Mean(rewards[0], counts[0]), Mean(-rewards[1], counts[1])))
        return (losses.sum(),), metrics
