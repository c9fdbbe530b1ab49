"""Attention over a forest: the module, and the one contract that every backend implements.

A backend is a function `(q, k, v, forest) -> out` with

    q    `[tokens, n_heads, head_dim]` float32, rotated
    k, v `[tokens, n_kv_heads, head_dim]` float32, k rotated
    out  `[tokens, n_heads, head_dim]` float32

where query head h reads K/V head `h // (n_heads / n_kv_heads)` and the scores are scaled by
`1 / sqrt(head_dim)`. `reference` is the definition; the others equal it in value and gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.attention import cpu, flex, reference
from burnish.nn.config import DecoderConfig
from burnish.nn.linear import Linear
from burnish.nn.rotary import rotate

Backend = Callable[[Tensor, Tensor, Tensor, Forest], Tensor]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A backend with its keys' layout bound: `(q, k, v) -> out` for the tokens of one forward pass."""


def backend_for(device: torch.device) -> Backend:
    """The fastest backend that runs on `device`."""
    return {"cpu": cpu.attention, "cuda": flex.attention}.get(device.type, reference.attention)


class Attention(nn.Module):
    """Self-attention with `n_kv_heads` shared key and value heads: MHA, GQA or MQA (Ainslie 2023)."""

    def __init__(self, config: DecoderConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        query_width, key_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.q = Linear(config.d_model, query_width, compute_dtype=compute_dtype)
        self.k = Linear(config.d_model, key_width, compute_dtype=compute_dtype)
        self.v = Linear(config.d_model, key_width, compute_dtype=compute_dtype)
        self.o = Linear(query_width, config.d_model, compute_dtype=compute_dtype)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """`x` `[tokens, d_model]` -> `[tokens, d_model]`; `attend` knows which token sees which."""
        q = rotate(self.q(x).unflatten(-1, (-1, self.head_dim)), angles)
        k = rotate(self.k(x).unflatten(-1, (-1, self.head_dim)), angles)
        v = self.v(x).unflatten(-1, (-1, self.head_dim)).float()
        return self.o(attend(q, k, v).flatten(-2))
