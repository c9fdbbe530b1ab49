"""Attention over a forest on a GPU: FlexAttention with a block mask built from the forest.

Blocks of keys that no query of a block may see are never read. Compiled on first use.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from burnish.forest import Forest
from burnish.nn.attention.reference import visible_until


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def block_mask(forest: Forest) -> BlockMask:
    """The block mask of a forest, kept on the forest: every layer uses the same."""
    kept: BlockMask | None = forest.__dict__.get("_block_mask")
    if kept is None:
        until = visible_until(forest)

        def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & (query < until[key])

        n_tokens = forest.n_tokens
        kept = create_block_mask(sees, None, None, n_tokens, n_tokens, device=str(forest.tokens.device))
        forest.__dict__["_block_mask"] = kept
    return kept


def attention(q: Tensor, k: Tensor, v: Tensor, forest: Forest) -> Tensor:
    """The contract of `burnish.nn.attention`; compiled on CUDA, the same arithmetic uncompiled elsewhere."""
    run = _compiled() if q.device.type == "cuda" else flex_attention
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return run(q, k, v, block_mask=block_mask(forest), enable_gqa=True)[0].transpose(0, 1)
