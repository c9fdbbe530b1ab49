"""Distributions cut down to their most likely tokens and what all others have together.

A distribution over a vocabulary becomes one over k + 1 outcomes: k tokens, and "another". Nothing is left out or scaled
up, so that it sums to one; what differs among the other tokens is what is lost.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from burnish.nn.divergence import CHUNK, add_to_weight
from burnish.nn.predictions import Predictions

_MOST = 1e30
"""Bounds 1 / (what the others have), where that is too little for float32."""


class TopTokens(NamedTuple):
    """The k most likely tokens of each distribution.

    ids: `[n, k]` int64. logps: `[n, k + 1]` float32, nats; the last is the log of what all other tokens have together.
    entropies: `[n]`, nats, of the whole distribution, without a gradient.
    """

    ids: Tensor
    logps: Tensor
    entropies: Tensor


@torch.no_grad()
def top_tokens(predictions: Predictions, k: int, *, temperature: float = 1.0) -> TopTokens:
    """The `k` most likely tokens of each distribution, the most likely first; fewer than the vocabulary has."""
    n = len(predictions.hidden)
    ids = torch.empty(n, k, dtype=torch.int64, device=predictions.hidden.device)
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        ids[rows] = predictions.logits(rows, temperature).topk(k, dim=-1).indices
    return at_tokens(predictions, ids, temperature=temperature)


def at_tokens(predictions: Predictions, ids: Tensor, *, temperature: float = 1.0) -> TopTokens:
    """What distributions say of the tokens `ids` `[n, k]`, different ones in each row, and of all others together.

    The gradient of `logps` goes to the hidden states and the weight.
    """
    return TopTokens(ids, *_AtTokens.apply(*predictions, ids, temperature))


class _AtTokens(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        cast: Tensor,
        softcap: float | None,
        ids: Tensor,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        predictions = Predictions(hidden, weight, cast, softcap)
        logps = hidden.new_empty(len(hidden), ids.shape[1] + 1, dtype=torch.float32)
        lse, entropies = hidden.new_empty(2, len(hidden), dtype=torch.float32)
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            log_p = predictions.logits(rows, temperature)
            lse[rows] = log_p.logsumexp(-1)
            log_p.sub_(lse[rows, None])
            entropies[rows] = -torch.linalg.vecdot(log_p.exp(), log_p)
            logps[rows, :-1] = log_p.gather(-1, ids[rows])
            # Summed up, not 1 minus the others: what is left of a confident prediction is far below float32's 1e-7.
            logps[rows, -1] = log_p.scatter_(-1, ids[rows], -torch.inf).logsumexp(-1)
        ctx.save_for_backward(hidden, weight, cast, ids, lse, logps[:, -1].clone())
        ctx.softcap, ctx.temperature = softcap, temperature
        ctx.mark_non_differentiable(entropies)
        return logps, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, cast, ids, lse, log_rest = ctx.saved_tensors
        predictions = Predictions(hidden, weight, cast, ctx.softcap)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        total = grad.sum(-1, keepdim=True)
        rest = grad[:, -1:] * (-log_rest).exp().clamp_max(_MOST)[:, None]
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            logits = predictions.logits(rows, ctx.temperature)
            p = (logits - lse[rows, None]).exp_()
            # d log p_i / d logits = onehot_i - p; d log rest / d logits = p / rest of the others - p
            at = grad[rows, :-1] - total[rows] * p.gather(-1, ids[rows])
            scores = p.mul_(rest[rows] - total[rows]).scatter_(-1, ids[rows], at)
            scores = predictions.to_products(scores, logits, ctx.temperature)
            grad_hidden[rows] = scores @ cast
            add_to_weight(grad_weight, scores, hidden[rows])
        return grad_hidden, grad_weight, None, None, None, None
