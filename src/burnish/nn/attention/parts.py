"""Attention to one part of a token's keys, and merging parts by their log-sum-exp.

lse = log Σ_i exp(lse_i)        out = Σ_i exp(lse_i - lse) · out_i
"""

import torch
from torch import Tensor

from burnish.nn.config import AttentionRule

HIDDEN = -1e30
"""Added to the score of a key that a query does not see. Finite: a part of which a query sees nothing gets a
log-sum-exp so low that merging gives it no weight, where -inf would give NaN."""


def attention_part(
    q: Tensor, k: Tensor, v: Tensor, rule: AttentionRule, *, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attention of every query to every key, with the log-sum-exp of the scores; no gradient.

    q `[batch, n_kv_heads, queries, head_dim]`, k and v `[batch, n_kv_heads, keys, head_dim]` of one dtype; of the rule only
    how scores are made counts, `bias` `[batch, 1, queries or 1, keys]` is added to them. Returns
    `[batch, n_kv_heads, queries, head_dim]` and `[batch, n_kv_heads, queries]`, both float32. For the few queries of
    decoding, two matrix products are as fast as a flash kernel.
    """
    scale = q.shape[-1] ** -0.5 if rule.scale is None else rule.scale
    scores = torch.matmul(q * scale, k.transpose(-1, -2)).float()
    if rule.softcap is not None:
        scores = scores.div_(rule.softcap).tanh_().mul_(rule.softcap)
    if bias is not None:
        scores += bias
    lse = scores.logsumexp(-1)
    probabilities = scores.sub_(lse[..., None]).exp_()
    return torch.matmul(probabilities.to(v.dtype), v).float(), lse


def merge(out: Tensor, lse: Tensor, part_out: Tensor, part_lse: Tensor) -> None:
    """Merge a part into `out` `[..., head_dim]` and `lse` `[...]`, in place."""
    merged = torch.logaddexp(lse, part_lse)
    out.mul_(torch.exp(lse - merged)[..., None])
    out.addcmul_(part_out, torch.exp(part_lse - merged)[..., None])
    lse.copy_(merged)
