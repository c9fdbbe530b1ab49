"""Attention over a forest by a dense mask and plain operations: the definition. Quadratic in the whole forest."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.config import AttentionRule


def visible_until(forest: Forest) -> Tensor:
    """`[n_tokens]` int64: one past the last token that may see each token.

    In depth-first pre-order the descendants of a segment follow it directly, so a query i sees a key j
    exactly when `j <= i < visible_until[j]`; without causality also where both are of one segment.
    """
    return _by_token(forest, forest.descendants_stop)


def segment_of(forest: Forest) -> Tensor:
    """`[n_tokens]` int64: the segment of each token."""
    return _by_token(forest, range(forest.n_segments))


def mask(forest: Forest, rule: AttentionRule | None = None) -> Tensor:
    """`[n_tokens, n_tokens]` bool: row i is True where query i sees key j."""
    rule = rule or AttentionRule()
    index = torch.arange(forest.n_tokens, device=forest.tokens.device)
    seen = (index[None, :] <= index[:, None]) & (index[:, None] < visible_until(forest)[None, :])
    if not rule.causal:
        segment = segment_of(forest)
        seen |= segment[:, None] == segment[None, :]
    if rule.window is not None:
        seen &= forest.positions[:, None] - forest.positions[None, :] < rule.window
    return seen


def attention(q: Tensor, k: Tensor, v: Tensor, forest: Forest, rule: AttentionRule | None = None) -> Tensor:
    """The contract of `burnish.nn.attention` under the dense mask."""
    return masked_attention(q, k, v, mask(forest, rule), rule)


def cross_attention(
    q: Tensor, k: Tensor, v: Tensor, queries: Forest, context: Forest, rule: AttentionRule | None = None
) -> Tensor:
    """The contract of `burnish.nn.attention.cross_attention` under a dense mask."""
    return masked_attention(q, k, v, _tree_of(queries)[:, None] == _tree_of(context)[None, :], rule)


def masked_attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, rule: AttentionRule | None = None) -> Tensor:
    """Attention where `seen` `[queries, keys]` is True.

    q `[queries, n_heads, head_dim]`, k and v `[keys, n_kv_heads, head_dim]`; returns the shape of q.
    """
    rule = rule or AttentionRule()
    n_kv_heads = k.shape[1]
    dtype = q.dtype
    q, k, v = q.float(), k.float(), v.float()
    grouped = q.unflatten(1, (n_kv_heads, -1))
    scale = q.shape[-1] ** -0.5 if rule.scale is None else rule.scale
    scores = torch.einsum("qkgd,skd->kgqs", grouped, k) * scale
    if rule.softcap is not None:
        scores = rule.softcap * torch.tanh(scores / rule.softcap)
    probabilities = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    if rule.dropout:
        probabilities = F.dropout(probabilities, rule.dropout)
    return torch.einsum("kgqs,skd->qkgd", probabilities, v).flatten(1, 2).to(dtype)


def _by_token(forest: Forest, values: "range | tuple[int, ...]") -> Tensor:
    by_token = np.repeat(np.asarray(values, dtype=np.int64), forest.lengths)
    return torch.from_numpy(by_token).to(forest.tokens.device)


def _tree_of(forest: Forest) -> Tensor:
    trees: list[int] = []
    for parent in forest.parents:
        trees.append((trees[-1] + 1 if trees else 0) if parent == -1 else trees[parent])
    return _by_token(forest, tuple(trees))
