"""From logits to the next token."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_DRAW_BLOCK = 256
"""Vocabulary entries whose weights are summed before one of the blocks is drawn."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen. Temperature 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0, `repetition_penalty` 1 are off.

    `stop`: token ids that end a completion; they are not part of it. `stop_strings` end its text, which is cut before
    the first of them.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 128
    stop: frozenset[int] = frozenset()
    stop_strings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must not be negative, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must be in [0, 1], got {self.min_p}")
        if self.repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty must be positive, got {self.repetition_penalty}")
        if "" in self.stop_strings:
            raise ValueError("a stop string must not be empty: it would end every completion before it begins")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")


def penalize_repetition(logits: Tensor, history: Tensor, penalty: float) -> Tensor:
    """Divide the positive and multiply the negative logits of tokens seen before (Keskar 2019, arXiv:1909.05858, 4.1).

    logits `[rows, vocab]`; history `[rows, length]` int64, the row's tokens so far, filled up with repeats.
    """
    seen = logits.gather(1, history)
    return logits.scatter(1, history, torch.where(seen > 0, seen / penalty, seen * penalty))


def truncate(logits: Tensor, *, top_k: int, top_p: float, min_p: float = 0.0) -> Tensor:
    """-inf everywhere but at the `top_k` largest, and at the fewest of those that hold `top_p` of the probability.

    min_p: and where a token is less than this times as probable as the most probable one (Nguyen 2024,
    arXiv:2407.01082, section 3). Nucleus sampling: Holtzman 2019, arXiv:1904.09751, section 3.1. Ties at the border of
    `top_k` are kept.
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
    if min_p > 0:
        logits = logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(min_p), -torch.inf)
    return logits


@dataclass(frozen=True)
class Choice:
    """The next token of each row, int64 `[rows]`, and its log-probability under the model itself, float32 `[rows]`.

    sampling_logps: the same at the temperature, with repetition penalized; of a greedy choice, `logps`.
    """

    tokens: Tensor
    logps: Tensor
    sampling_logps: Tensor


def choose(
    logits: Tensor,
    sampling: Sampling,
    uniform: Tensor,
    *,
    history: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Choice:
    """The next token of each row.

    logits `[rows, vocab]` float32. One number in [0, 1) a row, `uniform` `[rows]`, picks the token by inverting the
    cumulative distribution: a fiftieth of the random numbers that a draw for each vocabulary entry would need.
    history: as for `penalize_repetition`; without it no token is penalized. allowed: `[rows, vocab]` bool, the tokens
    that may be chosen, at least one a row. Log-probabilities are in nats and of the
    whole vocabulary: truncation is a choice among tokens, not another policy.
    """
    scores = logits
    if history is not None and sampling.repetition_penalty != 1:
        scores = penalize_repetition(logits, history, sampling.repetition_penalty)
    if sampling.temperature == 0:
        tokens = _only(scores, allowed).argmax(-1)
        logps = _picked(logits, tokens) - logits.logsumexp(-1)
        return Choice(tokens, logps, logps)
    if sampling.temperature != 1:
        scores = scores / sampling.temperature
    kept = truncate(_only(scores, allowed), top_k=sampling.top_k, top_p=sampling.top_p, min_p=sampling.min_p)
    largest = kept.amax(-1, keepdim=True)
    weights = torch.sub(kept, largest).exp_()
    tokens, total = _draw(weights, uniform)
    whole = largest.squeeze(1) + total.log() if kept is scores else scores.logsumexp(-1)
    sampling_logps = _picked(scores, tokens) - whole
    logps = sampling_logps if scores is logits else _picked(logits, tokens) - logits.logsumexp(-1)
    return Choice(tokens, logps, sampling_logps)


def _only(scores: Tensor, allowed: Tensor | None) -> Tensor:
    return scores if allowed is None else scores.masked_fill(~allowed, -torch.inf)


def _picked(logits: Tensor, tokens: Tensor) -> Tensor:
    return logits.gather(1, tokens[:, None]).squeeze(1)


def _draw(weights: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """An index of each row of `weights` `[rows, vocab]` in proportion to it, and the rows' sums.

    In two steps, first a block and then a token in it: a running sum over the whole vocabulary would be the slowest
    part of a decoding step, and less exact.
    """
    rows, vocab = weights.shape
    n_blocks = -(-vocab // _DRAW_BLOCK)
    if n_blocks * _DRAW_BLOCK > vocab:
        weights = F.pad(weights, (0, n_blocks * _DRAW_BLOCK - vocab))
    blocks = weights.view(rows, n_blocks, _DRAW_BLOCK)
    sums = blocks.sum(-1).cumsum(-1)
    total = sums[:, -1]
    drawn = uniform * total
    block = _first_above(sums, drawn)
    before = F.pad(sums, (1, 0)).gather(1, block[:, None]).squeeze(1)
    within = blocks[torch.arange(rows, device=weights.device), block].cumsum(-1)
    # Two ways of summing round differently: what is left of the draw must not reach past the block.
    inside = _first_above(within, torch.minimum(drawn - before, within[:, -1] * (1 - 2**-23)))
    # Sums that are no numbers have no place above a draw; one in range lets the caller see what they are.
    return (block * _DRAW_BLOCK + inside).clamp_(max=vocab - 1), total


def _first_above(sums: Tensor, drawn: Tensor) -> Tensor:
    """The first place of each row's running sum above `drawn`: never one that adds nothing."""
    found = torch.searchsorted(sums, drawn[:, None], right=True).squeeze(1)
    # A draw that rounds up to the sum itself falls on the last place that adds something.
    last = torch.searchsorted(sums, sums[:, -1:].contiguous()).squeeze(1)
    return torch.minimum(found, last).clamp_(max=sums.shape[1] - 1)
