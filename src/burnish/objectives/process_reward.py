"""Process and outcome reward models: the probability that a step, or an answer, is right (Lightman 2023; Cobbe 2021).

Notable choices:
- a label may be a share: the soft labels of Monte-Carlo rollouts (Math-Shepherd, arXiv:2312.08935, equation 4) and hard
  ones have one loss;
- two logits with softmax and cross-entropy, as TRL trains, are one logit with σ: the difference of the two;
- which tokens have a label is the data's affair: the last of each step, all of a step, the last of an answer, or all of
  an answer (the token-level verifier of Cobbe 2021, arXiv:2110.14168, section 4.2).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.objective import Mean, Measured

LABELS = Column("labels", "entry")
"""How right what ends at a token is: 1 right, 0 wrong, between them a share."""

Average = Literal["labels", "examples"]


def label_losses(log_odds: Tensor, labels: Tensor) -> Tensor:
    """`-[y log σ(z) + (1 - y) log(1 - σ(z))]` of each, in nats: equation 1 of Math-Shepherd (arXiv:2312.08935).

    log_odds: z, `[n]`. labels: y from 0 to 1, `[n]`, which the result has too.
    """
    return F.binary_cross_entropy_with_logits(log_odds, labels, reduction="none")


@dataclass(frozen=True)
class LabelledTokens:
    """The objective over batches of `label_batches`; the outputs are the log-odds z of the scored tokens.

    mean_over: `labels` weighs every label alike, as TRL does, so an answer of many steps more; `examples` every answer
    alike, its loss the mean over its labels.

    `accuracy` is the share of labels on whose side of one half the prediction is, `right` the mean label, `mean_reward`
    the mean of σ(z).
    """

    mean_over: Average = "labels"
    reads: ClassVar[tuple[Column, ...]] = (LABELS,)

    def counts(self, batch: Batch) -> tuple[float]:
        return (batch.n_entries if self.mean_over == "labels" else batch.n_rows,)

    def __call__(self, log_odds: Tensor, batch: Batch) -> Measured:
        log_odds, labels = log_odds[batch.entries], batch.column(LABELS)
        losses = label_losses(log_odds, labels)
        if self.mean_over == "examples":
            losses = losses / batch.row_lengths[batch.rows]
        with torch.no_grad():
            sums = {
                "accuracy": ((log_odds > 0) == (labels > 0.5)).float().sum(),
                "right": labels.sum(),
                "mean_reward": log_odds.sigmoid().sum(),
            }
        return (losses.sum(),), {name: Mean(value, batch.n_entries) for name, value in sums.items()}
