"""Log-probabilities of chosen tokens without ever holding tokens x vocabulary.

The projection to the vocabulary runs in chunks of tokens; the backward pass computes each chunk's logits again
instead of keeping them. Only the log-sum-exp of each row is stored.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 256
"""Rows a chunk: 256 x 49,152 float32 logits are 48 MiB."""


def log_probabilities(
    hidden: Tensor, weight: Tensor, cast: Tensor, targets: Tensor, *, softcap: float | None = None
) -> Tensor:
    """log softmax(hidden · weightᵀ)[targets].

    hidden `[n, d_model]`, weight `[vocab, d_model]` float32, `cast` the same in the compute dtype, targets `[n]` int64;
    returns `[n]` float32. The gradient goes to `hidden` and `weight`. softcap: see `soft_capped`.
    """
    return _LogProbabilities.apply(hidden, weight, cast, targets, softcap)


def soft_capped(logits: Tensor, softcap: float | None) -> Tensor:
    """`softcap · tanh(logits / softcap)` (Gemma 2, arXiv:2408.00118, section 2); the logits themselves where None."""
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


class _LogProbabilities(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, cast: Tensor, targets: Tensor, softcap: float | None
    ) -> Tensor:
        hidden_cast = hidden.to(cast.dtype)
        logps = hidden.new_empty(len(hidden), dtype=torch.float32)
        lse = torch.empty_like(logps)
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            logits = soft_capped((hidden_cast[rows] @ cast.t()).float(), softcap)
            lse[rows] = logits.logsumexp(-1)
            logps[rows] = logits.gather(-1, targets[rows, None]).squeeze(-1) - lse[rows]
        ctx.save_for_backward(hidden_cast, cast, targets, lse)
        ctx.hidden_dtype, ctx.weight_dtype, ctx.softcap = hidden.dtype, weight.dtype, softcap
        return logps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, cast, targets, lse = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(cast, dtype=ctx.weight_dtype) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            # d logp / d logits = onehot - softmax, in place: this is the largest tensor of the step.
            logits = soft_capped((hidden[rows] @ cast.t()).float(), ctx.softcap)
            slope = None if ctx.softcap is None else 1 - (logits / ctx.softcap).square()
            scores = logits.sub_(lse[rows, None]).exp_().mul_(-grad[rows, None])
            scores.scatter_add_(-1, targets[rows, None], grad[rows, None])
            if slope is not None:
                scores.mul_(slope)
            scores = scores.to(cast.dtype)
            grad_hidden[rows] = scores @ cast
            if grad_weight is not None:
                if grad_weight.dtype == scores.dtype:
                    grad_weight.addmm_(scores.t(), hidden[rows])
                else:
                    grad_weight.add_(scores.t() @ hidden[rows])
        return grad_hidden.to(ctx.hidden_dtype), grad_weight, None, None, None
