"""A verifier that goes on imitating right answers (Cobbe 2021, arXiv:2110.14168, section 4.2 and appendix E).

    L = L_labels + c · 1/N Σ_t 1[right] (-log π(t | before))

over the N tokens of all answers, right and wrong: the language model's loss keeps what the network knows of answers,
while the head learns to judge them. The paper judges by squared error, this by cross-entropy, as everything here does.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.objective import Mean, Measured, Metric
from burnish.objectives.process_reward import LABELS, Average, label_losses


class Verified(NamedTuple):
    """Of each scored token the log-odds that the answer is right, and log π(token | before); `[n_scored]`."""

    log_odds: Tensor
    logps: Tensor


@dataclass(frozen=True)
class JointVerifier:
    """The objective over batches whose entries are all tokens of answers; the outputs are `Verified`.

    The label of an entry that has none is NaN; an answer is right where its last one is above one half. lm_coef: c.
    mean_over: as for `LabelledTokens`. Metrics are those of `LabelledTokens`, and `nll_loss`, the loss in nats of a
    right answer's token.
    """

    lm_coef: float
    mean_over: Average = "labels"
    reads: ClassVar[tuple[Column, ...]] = (LABELS,)

    def counts(self, batch: Batch) -> tuple[Tensor | float, float]:
        labelled = (~batch.column(LABELS).isnan()).sum()
        return (labelled if self.mean_over == "labels" else batch.n_rows, batch.n_entries)

    def __call__(self, outputs: Verified, batch: Batch) -> Measured:
        labels, log_odds = batch.column(LABELS), outputs.log_odds[batch.entries]
        labelled = ~labels.isnan()
        odds, known, rows = log_odds[labelled], labels[labelled], batch.rows[labelled]
        losses = label_losses(odds, known)
        if self.mean_over == "examples":
            losses = losses / torch.bincount(rows, minlength=batch.n_rows)[rows]
        last = batch.row_lengths.cumsum(0) - 1
        imitated = (labels[last] > 0.5)[batch.rows]
        nll = -(outputs.logps[batch.entries] * imitated).sum()
        n_labels = labelled.sum()
        with torch.no_grad():
            metrics: dict[str, Metric] = {
                "accuracy": Mean(((odds > 0) == (known > 0.5)).float().sum(), n_labels),
                "right": Mean(known.sum(), n_labels),
                "mean_reward": Mean(odds.sigmoid().sum(), n_labels),
                "nll_loss": Mean(nll, imitated.sum()),
            }
        return (losses.sum(), self.lm_coef * nll), metrics
