"""Log-probabilities of chosen tokens without ever holding tokens x vocabulary.

The projection to the vocabulary runs in chunks of tokens; the backward pass computes each chunk's logits again
instead of keeping them. Only the log-sum-exp of each row is stored.

Logits are products of float32 operands whatever the compute dtype (`float32_product`): in bfloat16 a logit of 30 is
rounded to a multiple of 1/8, 0.03 nats a token in its log-probability and 0.7 in the log-ratio of a pair of answers.
The products of the gradients stay in the compute dtype.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from burnish.nn.linear import float32_product

CHUNK = 256
"""Rows a chunk: 256 x 49,152 float32 logits are 48 MiB."""


class Scores(NamedTuple):
    """Of each scored token: its log-probability, and the entropy of the distribution it was drawn from; nats, `[n]`.

    entropies: None where they were not asked for. hidden: what the decoder knew of all tokens, `[n_tokens, d_model]`.
    """

    logps: Tensor
    entropies: Tensor | None = None
    hidden: Tensor | None = None


def log_probabilities(
    hidden: Tensor,
    weight: Tensor,
    cast: Tensor,
    targets: Tensor,
    *,
    softcap: float | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """log softmax(hidden · weightᵀ / temperature)[targets].

    hidden `[n, d_model]`, weight `[vocab, d_model]` float32, `cast` the same in the compute dtype of the gradients,
    targets `[n]` int64; returns `[n]` float32. The gradient goes to `hidden` and `weight`. softcap: see `soft_capped`,
    before the temperature.
    """
    logps, _ = _LogProbabilities.apply(
        _cooled(hidden, softcap, temperature), weight, cast, targets, softcap, temperature, False
    )
    return logps


def log_probabilities_and_entropies(
    hidden: Tensor,
    weight: Tensor,
    cast: Tensor,
    targets: Tensor,
    *,
    softcap: float | None = None,
    temperature: float = 1.0,
) -> Scores:
    """As `log_probabilities`, with the entropy `-Σ_v p(v) log p(v)`; both have gradients."""
    cooled = _cooled(hidden, softcap, temperature)
    return Scores(*_LogProbabilities.apply(cooled, weight, cast, targets, softcap, temperature, True))


def _cooled(hidden: Tensor, softcap: float | None, temperature: float) -> Tensor:
    """Without a cap the logits are linear in the hidden states, of which there are fewer to divide."""
    return hidden if temperature == 1 or softcap is not None else hidden / temperature


def _logits(hidden: Tensor, weight: Tensor, cast: Tensor, softcap: float | None, temperature: float) -> Tensor:
    """The logits of a chunk, new memory; those without a cap have their temperature from `_cooled`."""
    logits = soft_capped(float32_product(hidden, weight, cast.dtype), softcap)
    return logits if softcap is None or temperature == 1 else logits.div_(temperature)


def soft_capped(logits: Tensor, softcap: float | None) -> Tensor:
    """`softcap · tanh(logits / softcap)` (Gemma 2, arXiv:2408.00118, section 2); the logits themselves where None."""
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


class _LogProbabilities(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        cast: Tensor,
        targets: Tensor,
        softcap: float | None,
        temperature: float,
        with_entropies: bool,
    ) -> tuple[Tensor, Tensor]:
        logps = hidden.new_empty(len(hidden), dtype=torch.float32)
        lse = torch.empty_like(logps)
        entropies = torch.empty_like(logps) if with_entropies else logps.new_empty(0)
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            logits = _logits(hidden[rows], weight, cast, softcap, temperature)
            lse[rows] = logits.logsumexp(-1)
            logps[rows] = logits.gather(-1, targets[rows, None]).squeeze(-1) - lse[rows]
            if with_entropies:
                log_p = logits.sub_(lse[rows, None])
                entropies[rows] = -torch.linalg.vecdot(log_p.exp(), log_p)
        ctx.save_for_backward(hidden, weight, cast, targets, lse, entropies)
        ctx.softcap, ctx.temperature = softcap, temperature
        ctx.set_materialize_grads(False)
        return logps, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, grad_entropies: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, cast, targets, lse, entropies = ctx.saved_tensors
        if grad is None:
            grad = torch.zeros_like(lse)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            logits = _logits(hidden[rows], weight, cast, ctx.softcap, ctx.temperature)
            slope = None
            if ctx.softcap is not None:
                slope = (1 - (logits * (ctx.temperature / ctx.softcap)).square()) / ctx.temperature
            # In place where it can be: this is the largest tensor of the step.
            log_p = logits.sub_(lse[rows, None])
            if grad_entropies is None or not len(entropies):
                # d logp / d logits = onehot - p
                scores = log_p.exp_().mul_(-grad[rows, None])
            else:
                # d entropy / d logits = -p (log p + entropy)
                p = log_p.exp()
                scores = log_p.add_(entropies[rows, None]).mul_(grad_entropies[rows, None]).add_(grad[rows, None])
                scores.mul_(p).neg_()
            scores.scatter_add_(-1, targets[rows, None], grad[rows, None])
            if slope is not None:
                scores.mul_(slope)
            scores = scores.to(cast.dtype)
            grad_hidden[rows] = scores @ cast
            if grad_weight is not None:
                if grad_weight.dtype == scores.dtype:
                    grad_weight.addmm_(scores.t(), hidden[rows])
                else:
                    grad_weight.add_(scores.t() @ hidden[rows].to(scores.dtype))
        return grad_hidden, grad_weight, None, None, None, None, None
