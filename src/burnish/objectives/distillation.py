"""Distillation by divergence: a student's next-token distributions become those of a teacher.

Hinton 2015 (arXiv:1503.02531) and, on the student's own samples, Agarwal 2023 (GKD, arXiv:2306.13649).

Notable choices:
- the loss is the mean over the answers' tokens of a step, as in TRL;
- it is multiplied by the temperature's square: the gradient of a divergence at temperature T shrinks with 1/T² (Hinton
  2015, section 2), and a learning rate then holds for every T. TRL does not multiply.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.nn.divergence import Divergences
from burnish.objectives.objective import Mean, Measured


def generalized_jsd(log_p: Tensor, log_q: Tensor, *, beta: float) -> Tensor:
    """The divergence of distributions that are given whole: nats, `[...]`.

    log_p, log_q: the student's and the teacher's log-probabilities `[..., outcomes]`, finite. beta: 0 is KL(q ∥ p), 1
    is KL(p ∥ q), between them β KL(q ∥ m) + (1 - β) KL(p ∥ m) with m = (1 - β) p + β q (GKD, equation 1).
    `burnish.nn.divergence` computes the same from hidden states in chunks.
    """
    if beta == 0:
        return _kl(log_q, log_p)
    if beta == 1:
        return _kl(log_p, log_q)
    log_m = torch.logaddexp(log_p + math.log1p(-beta), log_q + math.log(beta))
    return beta * _kl(log_q, log_m) + (1 - beta) * _kl(log_p, log_m)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ∥ q) over the last dimension."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


@dataclass(frozen=True)
class Distillation:
    """The objective over divergences of a batch's entries, with TRL's metric: the entropy of the student, in nats.

    temperature: that of both distributions.
    """

    temperature: float = 1.0
    reads: ClassVar[tuple[Column, ...]] = ()

    def counts(self, batch: Batch) -> tuple[float]:
        return (batch.n_entries,)

    def __call__(self, outputs: Divergences, batch: Batch) -> Measured:
        loss = self.temperature**2 * outputs.values.sum()
        return (loss,), {"entropy": Mean(outputs.entropies.sum(), batch.n_entries)}
