"""Attention over a forest on a GPU: FlexAttention with a block mask built from the forest.

Blocks of keys that no query of a block may see are never read. Compiled on first use.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from burnish.forest import Forest
from burnish.nn.attention import paths
from burnish.nn.attention.reference import segment_of, visible_until
from burnish.nn.config import AttentionRule


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def block_mask(forest: Forest, rule: AttentionRule) -> BlockMask:
    """The block mask of a forest under a rule, kept on the forest: every layer with that rule uses the same."""
    kept: dict[tuple[bool, int | None], BlockMask] = forest.__dict__.setdefault("_block_masks", {})
    key = (rule.causal, rule.window)
    if key not in kept:
        until, segment, positions = visible_until(forest), segment_of(forest), forest.positions

        def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            seen = (key <= query) & (query < until[key])
            if not rule.causal:
                seen = seen | (segment[query] == segment[key])
            if rule.window is not None:
                seen = seen & (positions[query] - positions[key] < rule.window)
            return seen

        n_tokens = forest.n_tokens
        kept[key] = create_block_mask(sees, None, None, n_tokens, n_tokens, device=str(forest.tokens.device))
    return kept[key]


def attention(q: Tensor, k: Tensor, v: Tensor, forest: Forest, rule: AttentionRule | None = None) -> Tensor:
    """The contract of `burnish.nn.attention`; compiled on CUDA, the same arithmetic uncompiled elsewhere.

    FlexAttention has no dropout: a rule with some goes segment by segment (`burnish.nn.attention.paths`).
    """
    rule = rule or AttentionRule()
    if rule.dropout:
        return paths.attention(q, k, v, forest, rule)
    run = _compiled() if q.device.type == "cuda" else flex_attention
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    options: dict[str, Any] = {"block_mask": block_mask(forest, rule), "scale": rule.scale, "enable_gqa": True}
    if (softcap := rule.softcap) is not None:

        def capped(score: Tensor, *_indices: Tensor) -> Tensor:
            return softcap * torch.tanh(score / softcap)

        options["score_mod"] = capped
    return run(q, k, v, **options)[0].transpose(0, 1)
