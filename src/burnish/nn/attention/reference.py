"""Attention over a forest by a dense mask: the definition. Quadratic in the tokens of the whole forest."""

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.forest import Forest


def visible_until(forest: Forest) -> Tensor:
    """`[n_tokens]` int64: one past the last token that may see each token.

    In depth-first pre-order the descendants of a segment follow it directly, so a query i sees a key j
    exactly when `j <= i < visible_until[j]`.
    """
    lengths = torch.tensor(forest.lengths)
    return torch.tensor(forest.descendants_stop).repeat_interleave(lengths).to(forest.tokens.device)


def mask(forest: Forest) -> Tensor:
    """`[n_tokens, n_tokens]` bool: row i is True where query i sees key j."""
    index = torch.arange(forest.n_tokens, device=forest.tokens.device)
    return (index[None, :] <= index[:, None]) & (index[:, None] < visible_until(forest)[None, :])


def attention(q: Tensor, k: Tensor, v: Tensor, forest: Forest) -> Tensor:
    """The contract of `burnish.nn.attention` under the dense mask."""
    out = F.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k.transpose(0, 1)[None],
        v.transpose(0, 1)[None],
        attn_mask=mask(forest),
        enable_gqa=True,
    )
    return out[0].transpose(0, 1)
