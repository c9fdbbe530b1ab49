"""The attention module: projections, norms and rotation around whichever `attend` it is given."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from burnish.nn.config import DecoderConfig
from burnish.nn.linear import Linear, WeightNormLinear
from burnish.nn.norm import RMSNorm
from burnish.nn.rotary import Angles, rotate, rotated

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A backend with its keys' layout and rule bound: `(q, k, v) -> out` for the tokens of one forward pass."""

AttendAcross = Callable[[Tensor], Tensor]
"""Attention to a context with its keys and values bound too: `q -> out`."""


class Attention(nn.Module):
    """Multi-head, grouped-query or multi-query attention by `n_kv_heads`, to itself or to a context.

    Query, key and value are one product, `qkv`, whose rows are those of q, then k, then v.
    """

    def __init__(self, config: DecoderConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        query_width, key_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        kind = WeightNormLinear if config.norm == "weight" else Linear
        parts = {"q": query_width, "k": key_width, "v": key_width}
        self.qkv = kind(
            config.d_model, sum(parts.values()), bias=config.qkv_bias, parts=parts, compute_dtype=compute_dtype
        )
        self.o = kind(
            query_width,
            config.d_model,
            bias=config.attention_bias,
            parts={"o": config.d_model},
            compute_dtype=compute_dtype,
        )
        self.qk_norm = config.qk_norm
        if config.qk_norm is not None:
            head = config.qk_norm == "head"
            self.q_norm = RMSNorm(config.head_dim if head else query_width, eps=config.norm_eps)
            self.k_norm = RMSNorm(config.head_dim if head else key_width, eps=config.norm_eps)

    def forward(self, x: Tensor, angles: Angles | None, attend: Attend) -> Tensor:
        """`x` `[tokens, d_model]` -> `[tokens, d_model]`; `attend` knows which token sees which."""
        qkv = self.qkv(x)
        if self.qk_norm is None and angles is not None:
            split = _SplitAndRotate.apply if torch.is_grad_enabled() else _split_and_rotate
            q, k, v = split(qkv, *angles, self.n_heads, self.n_kv_heads)
            return self.o(attend(q, k, v).flatten(-2))
        widths = [heads * self.head_dim for heads in (self.n_heads, self.n_kv_heads, self.n_kv_heads)]
        q, k, v = qkv.split(widths, dim=-1)
        q, k, v = self._normed("q", q), self._normed("k", k), self._heads(v)
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        return self.o(attend(q.to(v.dtype), k.to(v.dtype), v).flatten(-2))

    def across(self, x: Tensor, attend: AttendAcross) -> Tensor:
        """Cross-attention: `x` `[tokens, d_model]` -> the same; `attend` has the context's `keys_and_values`."""
        q = self.qkv.rows(0, self.n_heads * self.head_dim, x)
        return self.o(attend(self._normed("q", q).to(q.dtype)).flatten(-2))

    def keys_and_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """What tokens of another sequence see of `context` `[n, d_model]`: two `[n, n_kv_heads, head_dim]`."""
        k, v = self.qkv.rows(self.n_heads * self.head_dim, self.qkv.out_features, context).chunk(2, dim=-1)
        return self._normed("k", k).to(v.dtype), self._heads(v)

    def _normed(self, name: str, x: Tensor) -> Tensor:
        """Queries or keys, heads apart, float32, normalized."""
        if self.qk_norm is None:
            return self._heads(x.float())
        norm = getattr(self, f"{name}_norm")
        return self._heads(norm(x).float()) if self.qk_norm == "projection" else norm(self._heads(x).float())

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim))


def _split_and_rotate(
    qkv: Tensor, cos: Tensor, sin: Tensor, n_heads: int, n_kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`[tokens, q k v]` to q and k, rotated in float32, and v, as heads in new memory; no gradient."""
    turning = n_heads + n_kv_heads
    heads = qkv.view(len(qkv), turning + n_kv_heads, -1)
    qk = rotated(heads[:, :turning].float(), cos, sin).to(qkv.dtype)
    return qk[:, :n_heads], qk[:, n_heads:], heads[:, turning:].clone()


class _SplitAndRotate(torch.autograd.Function):
    """`[tokens, q k v]` to rotated q and k, and v, as heads of the same dtype: one pass forward, one back."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, cos: Tensor, sin: Tensor, n_heads: int, n_kv_heads: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        ctx.dtype = qkv.dtype
        return _split_and_rotate(qkv, cos, sin, n_heads, n_kv_heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_q: Tensor, grad_k: Tensor, grad_v: Tensor) -> tuple[Tensor, None, None, None, None]:
        cos, sin = ctx.saved_tensors
        parts = rotated(grad_q.float(), cos, -sin), rotated(grad_k.float(), cos, -sin), grad_v.float()
        return torch.cat(parts, dim=1).flatten(1).to(ctx.dtype), None, None, None, None
