"""Direct preference optimization (Rafailov 2023, arXiv:2305.18290) and the losses that share its log-ratios.

Notable choices:
- `ipo` averages the log-ratios over the tokens of an answer, as its authors do in their experiments and TRL does;
- the metrics `rewards/...` are β times the summed log-ratio in every loss, as in TRL: the implicit reward of section 4.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.datasets.batches import REFERENCE_LOGPS, Batch, Column
from burnish.objectives.kl import kl_estimate
from burnish.objectives.objective import Mean, Measured, Number
from burnish.objectives.pairs import chosen_and_rejected, chosen_nll, n_chosen_tokens, n_pairs, pair_metrics, row_means

DPOLossType = Literal["sigmoid", "hinge", "ipo", "robust"]


def dpo_loss(h: Tensor, *, beta: float, loss_type: DPOLossType = "sigmoid", label_smoothing: float = 0.0) -> Tensor:
    """The loss of each pair from `h = log(π_θ(y_w|x) / π_ref(y_w|x)) - log(π_θ(y_l|x) / π_ref(y_l|x))`, `[pairs]`.

    With ε for label_smoothing, the probability that a label is the wrong way round:

        sigmoid   -(1 - ε) log σ(βh) - ε log σ(-βh)                equation 7 at ε = 0, else conservative DPO
        hinge     max(0, 1 - βh)                                   SLiC (Zhao 2023, arXiv:2305.10425)
        ipo       (h - 1 / (2β))²                                  equation 17 of Azar 2023 (arXiv:2310.12036), β is τ
        robust    [-(1 - ε) log σ(βh) + ε log σ(-βh)] / (1 - 2ε)   Chowdhury 2024 (arXiv:2403.00409)
    """
    if loss_type == "sigmoid":
        return -(1 - label_smoothing) * F.logsigmoid(beta * h) - label_smoothing * F.logsigmoid(-beta * h)
    if loss_type == "hinge":
        return torch.relu(1 - beta * h)
    if loss_type == "ipo":
        return (h - 1 / (2 * beta)).square()
    if loss_type == "robust":
        clean, flipped = -F.logsigmoid(beta * h), -F.logsigmoid(-beta * h)
        return ((1 - label_smoothing) * clean - label_smoothing * flipped) / (1 - 2 * label_smoothing)
    raise ValueError(f"unknown loss_type '{loss_type}'; expected one of {', '.join(get_args(DPOLossType))}")


@dataclass(frozen=True)
class DPO:
    """The objective over batches of pairs with the column `reference_logps`, with TRL's metric names.

    length_normalized: the loss reads the log-ratios' means over an answer's tokens instead of their sums (TRL's
    `sigmoid_norm`); `ipo` always does. rpo_alpha: weight of the chosen answers' negative log-likelihood a token (RPO,
    Pang 2024, arXiv:2404.19733; TRL's loss type `sft`).

    `kl` estimates KL(π_ref ∥ π_θ) of an answer in nats by the k3 estimator, summed over its tokens: unbiased when the
    answers were sampled from the reference, as in the recipe's `sample` stage.
    """

    beta: float
    loss_type: DPOLossType = "sigmoid"
    label_smoothing: float = 0.0
    length_normalized: bool = False
    rpo_alpha: float = 0.0
    reads: ClassVar[tuple[Column, ...]] = (REFERENCE_LOGPS,)

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        return (n_pairs(batch), n_chosen_tokens(batch)) if self.rpo_alpha else (n_pairs(batch),)

    def __call__(self, logps: Tensor, batch: Batch) -> Measured:
        token_logps, reference = logps[batch.entries], batch.column(REFERENCE_LOGPS)
        token_log_ratios = token_logps - reference
        log_ratios = batch.row_sums(token_log_ratios)
        averaged = self.length_normalized or self.loss_type == "ipo"
        chosen, rejected = chosen_and_rejected(row_means(token_log_ratios, batch) if averaged else log_ratios)
        losses = dpo_loss(
            chosen - rejected, beta=self.beta, loss_type=self.loss_type, label_smoothing=self.label_smoothing
        )
        terms: tuple[Tensor, ...] = (losses.sum(),)
        with torch.no_grad():
            rewards = chosen_and_rejected(self.beta * log_ratios)
            metrics = pair_metrics(*rewards, *chosen_and_rejected(batch.row_sums(token_logps)))
            metrics["kl"] = Mean(kl_estimate(reference, token_logps, "k3").sum(), batch.n_rows)
        if self.rpo_alpha:
            nll = chosen_nll(token_logps, batch)
            terms = (*terms, self.rpo_alpha * nll)
            metrics["nll_loss"] = Mean(nll, n_chosen_tokens(batch))
        return terms, metrics
