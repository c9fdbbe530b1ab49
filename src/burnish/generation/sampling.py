"""From logits to the next token."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen. Temperature 0 is greedy; `top_k` 0, `top_p` 1 and `repetition_penalty` 1 are off.

    `stop`: token ids that end a completion; they are not part of it.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 128
    stop: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must not be negative, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")
        if self.repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty must be positive, got {self.repetition_penalty}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")


def penalize_repetition(logits: Tensor, history: Tensor, penalty: float) -> Tensor:
    """Divide the positive and multiply the negative logits of tokens seen before (Keskar 2019, arXiv:1909.05858, 4.1).

    logits `[rows, vocab]`; history `[rows, length]` int64, the row's tokens so far, filled up with repeats.
    """
    seen = logits.gather(1, history)
    return logits.scatter(1, history, torch.where(seen > 0, seen / penalty, seen * penalty))


def truncate(logits: Tensor, *, top_k: int, top_p: float) -> Tensor:
    """-inf everywhere but at the `top_k` largest, and at the fewest of those that hold `top_p` of the probability.

    Nucleus sampling: Holtzman 2019, arXiv:1904.09751, section 3.1. Ties at the border of `top_k` are kept.
    """
    vocab = logits.shape[-1]
    if 0 < top_k < vocab:
        smallest_kept = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < smallest_kept, -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(-1)
        # A token goes when those before it already hold top_p; the first always stays.
        beyond = probabilities.cumsum(-1) - probabilities >= top_p
        beyond[..., 0] = False
        logits = logits.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), -torch.inf)
    return logits


def choose(logits: Tensor, sampling: Sampling, uniform: Tensor) -> Tensor:
    """The next token of each row: `[rows]` int64.

    logits `[rows, vocab]` float32. One number in [0, 1) a row, `uniform` `[rows]`, picks the token by inverting the
    cumulative distribution: a fiftieth of the random numbers that a draw for each vocabulary entry would need.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    logits = truncate(logits / sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p)
    cumulative = logits.softmax(-1).cumsum(-1)
    # The sum of 49,152 roundings is not 1: scale the draw to it, and never fall on a token of probability zero.
    drawn = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True).squeeze(-1)
    return drawn.clamp(max=logits.shape[-1] - 1)
