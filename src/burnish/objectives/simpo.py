"""Simple preference optimization (Meng 2024, arXiv:2405.14734): no reference, rewards averaged over the tokens."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.objective import Measured, Number
from burnish.objectives.pairs import chosen_and_rejected, n_pairs, pair_metrics, row_means


def simpo_loss(chosen_mean_logps: Tensor, rejected_mean_logps: Tensor, *, beta: float, gamma: float) -> Tensor:
    """Equation 6: `-log σ(β/|y_w| log π_θ(y_w|x) - β/|y_l| log π_θ(y_l|x) - γ)`, the loss of each pair.

    The log-probabilities `[pairs]` are means over an answer's tokens, in nats. gamma: the target reward margin.
    """
    return -F.logsigmoid(beta * (chosen_mean_logps - rejected_mean_logps) - gamma)


@dataclass(frozen=True)
class SimPO:
    """The objective over batches of pairs, with TRL's metric names; `logps/...` are means over the tokens."""

    beta: float
    gamma: float

    reads: ClassVar[tuple[Column, ...]] = ()

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        return (n_pairs(batch),)

    def __call__(self, logps: Tensor, batch: Batch) -> Measured:
        chosen, rejected = chosen_and_rejected(row_means(logps[batch.entries], batch))
        losses = simpo_loss(chosen, rejected, beta=self.beta, gamma=self.gamma)
        return (losses.sum(),), pair_metrics(self.beta * chosen, self.beta * rejected, chosen, rejected)
