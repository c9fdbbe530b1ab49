"""Odds ratio preference optimization (Hong 2024, arXiv:2403.07691): SFT and preference in one, without a reference.

Notable choice: the SFT term imitates the chosen answer only. TRL's imitates the prompt too.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.objective import Mean, Measured, Number
from burnish.objectives.pairs import chosen_and_rejected, chosen_nll, n_chosen_tokens, n_pairs, pair_metrics, row_means


def log_odds(mean_logps: Tensor) -> Tensor:
    """Equation 4: `log(p / (1 - p))` with `log p` the mean log-probability of an answer's tokens, elementwise.

    An answer that is certain to the last bit counts as certain to the last but one, so that its odds are finite.
    """
    log_p = mean_logps.clamp(max=-torch.finfo(mean_logps.dtype).eps)
    return log_p - torch.log(-torch.expm1(log_p))


def orpo_loss(chosen_mean_logps: Tensor, rejected_mean_logps: Tensor) -> Tensor:
    """Equation 7: `-log σ(log odds(y_w|x) - log odds(y_l|x))`, the odds ratio loss of each pair; all `[pairs]`."""
    return -F.logsigmoid(log_odds(chosen_mean_logps) - log_odds(rejected_mean_logps))


@dataclass(frozen=True)
class ORPO:
    """The objective over batches of pairs, equation 6, with TRL's metric names.

    beta: the paper's λ, the weight of the odds ratio loss beside the chosen answers' negative log-likelihood a token.
    `log_odds_ratio` is the mean log σ, `log_odds_chosen` the mean log of the odds ratio.
    """

    beta: float

    reads: ClassVar[tuple[Column, ...]] = ()

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        return n_chosen_tokens(batch), n_pairs(batch)

    def __call__(self, logps: Tensor, batch: Batch) -> Measured:
        token_logps = logps[batch.entries]
        chosen, rejected = chosen_and_rejected(row_means(token_logps, batch))
        losses = orpo_loss(chosen, rejected)
        nll = chosen_nll(token_logps, batch)
        metrics = pair_metrics(self.beta * chosen, self.beta * rejected, chosen, rejected)
        metrics |= {
            "nll_loss": Mean(nll, n_chosen_tokens(batch)),
            "log_odds_ratio": Mean(-losses.sum(), n_pairs(batch)),
            "log_odds_chosen": Mean((log_odds(chosen) - log_odds(rejected)).sum(), n_pairs(batch)),
        }
        return (nll, self.beta * losses.sum()), metrics
