"""Rejection-sampling fine-tuning (Yuan 2023, arXiv:2308.01825): imitate those of the sampled answers that are accepted.

    L(θ) = -E_{q, o ~ π} [ 1/|o| Σ_t 1(o) log π_θ(o_t | q, o_<t) ]

with π the model that training starts from (RFT) or the one that trains (online RFT; DeepSeekMath, arXiv:2402.03300,
appendix A.1). 1(o) is 1 of an answer that is accepted, 0 of any other.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.grpo import LOSS_COUNT, SAMPLING_LOGPS
from burnish.objectives.objective import Mean, Measured, Number

ACCEPTED = Column("accepted", "row")
"""1(o), bool."""
MeanOver = Literal["samples", "examples", "tokens"]


@dataclass(frozen=True)
class RFT:
    """The objective over batches whose rows are sampled answers.

    Columns that a batch may have beside `accepted`: `loss_count`, its part of what the step's loss is divided by, which
    lets a step leave out the rows that are not accepted; `sampling_logps`, the log-probabilities by which the answers
    were drawn, for a metric under TRL's name.

    mean_over: `samples`, the expectation above, over all that was sampled; `examples`, over those accepted; `tokens`,
        over the tokens of those, without 1/|o|, as most supervised fine-tuning has it.
    """

    mean_over: MeanOver = "samples"
    reads: ClassVar[tuple[Column, ...]] = (ACCEPTED,)

    def counts(self, batch: Batch) -> tuple[Number]:
        if batch.has(LOSS_COUNT):
            return (batch.column(LOSS_COUNT),)
        accepted = batch.column(ACCEPTED)
        if self.mean_over == "samples":
            return (batch.n_rows,)
        return (accepted.sum() if self.mean_over == "examples" else accepted[batch.rows].sum(),)

    def __call__(self, logps: Tensor, batch: Batch) -> Measured:
        token_logps = logps[batch.entries]
        losses = -token_logps * batch.column(ACCEPTED)[batch.rows]
        if self.mean_over != "tokens":
            losses = losses / batch.row_lengths[batch.rows]
        if not batch.has(SAMPLING_LOGPS):
            return (losses.sum(),), {}
        difference = (token_logps - batch.column(SAMPLING_LOGPS)).abs().sum()
        return (losses.sum(),), {"sampling/sampling_logp_difference/mean": Mean(difference, batch.n_entries)}
