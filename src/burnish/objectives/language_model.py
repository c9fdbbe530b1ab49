"""The language-model loss: next-token cross-entropy, for pre-training and SFT alike."""

from torch import Tensor

from burnish.datasets.batches import Batch


def language_model_loss(logps: Tensor) -> Tensor:
    """`-Σ_t log π_θ(x_t | x_<t)`: the sum over the scored tokens, in nats.

    logps `[n]`: log-probability of each scored token. The caller divides by the number of tokens of the whole
    optimizer step, so that micro-batches of different size weigh every token alike.
    """
    return -logps.sum()


def language_model(logps: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The objective over a batch whose weight is its number of entries."""
    return language_model_loss(logps[batch.entries]), {}
