"""Divergence of a student's next-token distributions from a teacher's over the whole vocabulary, in chunks of tokens.

Neither model's logits exist at once: a chunk of each is computed, used and dropped, and computed again for the
backward pass. Of each token three numbers are kept.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from burnish.nn.predictions import Predictions

CHUNK = 128
"""Tokens a chunk, of which two models' logits and their probabilities are there at once."""
_TINY = torch.finfo(torch.float32).tiny


class Divergences(NamedTuple):
    """Of each token, nats, `[n]` float32: the divergence, and the entropy of the student's distribution, a constant."""

    values: Tensor
    entropies: Tensor


def divergences(student: Predictions, teacher: Predictions, *, beta: float, temperature: float = 1.0) -> Divergences:
    """Generalised Jensen-Shannon divergence of p, the student's, and q, the teacher's distribution of each token.

    Both at `temperature`. With m = (1 - β) p + β q it is (Agarwal 2023, arXiv:2306.13649, equation 1, as in TRL)

        β = 0          KL(q ∥ p)                              forward
        0 < β < 1      β KL(q ∥ m) + (1 - β) KL(p ∥ m)
        β = 1          KL(p ∥ q)                              reverse

    The two may differ in width. The gradient goes to the student's hidden states and weight. Raises ValueError where
    the two have other numbers of tokens or vocabularies of another size.
    """
    if len(student.hidden) != len(teacher.hidden) or student.vocab_size != teacher.vocab_size:
        raise ValueError(
            f"the student's {len(student.hidden)} distributions of {student.vocab_size} tokens cannot be compared with "
            f"{len(teacher.hidden)} of {teacher.vocab_size}"
        )
    teacher = teacher._replace(hidden=teacher.hidden.detach(), weight=teacher.weight.detach())
    return Divergences(*_Divergences.apply(*student, teacher, beta, temperature))


class _Divergences(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        cast: Tensor,
        softcap: float | None,
        teacher: Predictions,
        beta: float,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        student = Predictions(hidden, weight, cast, softcap)
        values, entropies, p_lse, q_lse, of_student = hidden.new_empty(5, len(hidden), dtype=torch.float32)
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            log_p, log_q = student.logits(rows, temperature), teacher.logits(rows, temperature)
            p_lse[rows], q_lse[rows] = log_p.logsumexp(-1), log_q.logsumexp(-1)
            log_p.sub_(p_lse[rows, None])
            log_q.sub_(q_lse[rows, None])
            p = log_p.exp()
            entropies[rows] = -torch.linalg.vecdot(p, log_p)
            if beta == 0:
                torch.sub(log_q, log_p, out=log_p)
                values[rows] = torch.linalg.vecdot(log_q.exp_(), log_p)
            elif beta == 1:
                values[rows] = of_student[rows] = torch.linalg.vecdot(p, log_p.sub_(log_q))
            else:
                q = log_q.exp()
                log_m = _log_mixture(p, q, beta)
                of_student[rows] = torch.linalg.vecdot(p, log_p.sub_(log_m))
                of_teacher = torch.linalg.vecdot(q, log_q.sub_(log_m))
                values[rows] = beta * of_teacher + (1 - beta) * of_student[rows]
        ctx.save_for_backward(hidden, weight, cast, *teacher[:3], p_lse, q_lse, of_student)
        ctx.softcaps, ctx.beta, ctx.temperature = (softcap, teacher.softcap), beta, temperature
        ctx.mark_non_differentiable(entropies)
        return values, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, cast, q_hidden, q_weight, q_cast, p_lse, q_lse, of_student = ctx.saved_tensors
        student = Predictions(hidden, weight, cast, ctx.softcaps[0])
        teacher = Predictions(q_hidden, q_weight, q_cast, ctx.softcaps[1])
        beta, temperature = ctx.beta, ctx.temperature
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            logits = student.logits(rows, temperature)
            log_p = logits - p_lse[rows, None] if student.softcap is not None else logits.sub_(p_lse[rows, None])
            log_q = teacher.logits(rows, temperature).sub_(q_lse[rows, None])
            if beta == 0:
                scores = log_p.exp_().sub_(log_q.exp_())  # d KL(q ∥ p) / d logits = p - q
            else:
                # d KL(p ∥ q) / d logits = p (log p/q - KL(p ∥ q)); the same of m, times 1 - β
                p = log_p.exp()
                against = log_q if beta == 1 else _log_mixture(p, log_q.exp_(), beta)
                scores = log_p.sub_(against).sub_(of_student[rows, None]).mul_(p)
            scores.mul_((grad[rows] if beta in (0, 1) else (1 - beta) * grad[rows])[:, None])
            scores = student.to_products(scores, logits, temperature)
            grad_hidden[rows] = scores @ cast
            add_to_weight(grad_weight, scores, hidden[rows])
        return grad_hidden, grad_weight, None, None, None, None, None


def _log_mixture(p: Tensor, q: Tensor, beta: float) -> Tensor:
    """log((1 - β) p + β q), new memory; finite where both are zero, so that zero times it is zero."""
    return (p * (1 - beta)).add_(q, alpha=beta).clamp_min_(_TINY).log_()


def add_to_weight(grad_weight: Tensor | None, scores: Tensor, hidden: Tensor) -> None:
    """Add a chunk's part to the gradient of the output layer's weight, where that is asked for."""
    if grad_weight is None:
        return
    if grad_weight.dtype == scores.dtype:
        grad_weight.addmm_(scores.t(), hidden)
    else:
        grad_weight.add_(scores.t() @ hidden.to(scores.dtype))
