"""The language-model loss: next-token cross-entropy, for pre-training and SFT alike."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.objective import Measured

Average = Literal["tokens", "examples"]


def language_model_loss(logps: Tensor) -> Tensor:
    """`-Σ_t log π_θ(x_t | x_<t)`: the sum over the scored tokens, in nats.

    logps `[n]`: log-probability of each scored token. The caller divides by the number of tokens of the whole
    optimizer step, so that micro-batches of different size weigh every token alike.
    """
    return -logps.sum()


@dataclass(frozen=True)
class LanguageModel:
    """The objective over any batch.

    mean_over: `tokens` weighs every token alike, so a long answer more; `examples` every row alike, its loss the mean
    over its tokens.
    """

    mean_over: Average = "tokens"
    reads: ClassVar[tuple[Column, ...]] = ()

    def counts(self, batch: Batch) -> tuple[float]:
        return (batch.n_entries if self.mean_over == "tokens" else batch.n_rows,)

    def __call__(self, logps: Tensor, batch: Batch) -> Measured:
        token_logps = logps[batch.entries]
        if self.mean_over == "examples":
            token_logps = token_logps / batch.row_lengths[batch.rows]
        return (language_model_loss(token_logps),), {}


language_model = LanguageModel()
"""The mean over the tokens of a step."""
