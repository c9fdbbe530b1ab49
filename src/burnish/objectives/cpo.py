"""Contrastive preference optimization (Xu 2024, arXiv:2401.08417): DPO with a uniform reference, and imitation."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.dpo import dpo_loss
from burnish.objectives.objective import Mean, Measured, Number
from burnish.objectives.pairs import chosen_and_rejected, chosen_nll, n_chosen_tokens, n_pairs, pair_metrics


def cpo_loss(chosen_logps: Tensor, rejected_logps: Tensor, *, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Equation 3, `-log σ(β log π_θ(y_w|x) - β log π_θ(y_l|x))`, of each pair.

    All `[pairs]`, summed over the tokens of the answer, in nats. label_smoothing: as in `dpo_loss`.
    """
    return dpo_loss(chosen_logps - rejected_logps, beta=beta, label_smoothing=label_smoothing)


@dataclass(frozen=True)
class CPO:
    """The objective over batches of pairs, with TRL's metric names.

    alpha: weight of the chosen answers' negative log-likelihood a token (TRL's `cpo_alpha`); the paper's is 1.
    """

    beta: float
    alpha: float = 1.0
    label_smoothing: float = 0.0

    reads: ClassVar[tuple[Column, ...]] = ()

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        return n_pairs(batch), n_chosen_tokens(batch)

    def __call__(self, logps: Tensor, batch: Batch) -> Measured:
        token_logps = logps[batch.entries]
        chosen, rejected = chosen_and_rejected(batch.row_sums(token_logps))
        losses = cpo_loss(chosen, rejected, beta=self.beta, label_smoothing=self.label_smoothing)
        nll = chosen_nll(token_logps, batch)
        metrics = pair_metrics(self.beta * chosen, self.beta * rejected, chosen, rejected)
        metrics["nll_loss"] = Mean(nll, n_chosen_tokens(batch))
        return (losses.sum(), self.alpha * nll), metrics
