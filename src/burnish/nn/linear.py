"""A projection with float32 parameters whose product runs in the compute dtype, by an explicit cast.

The cast weight is kept and made again only when the optimizer has changed the parameter, so that
accumulating several micro-batches, or decoding a thousand tokens, casts once.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Linear(nn.Module):
    """`y = x Wᵀ`, weight `[out_features, in_features]` float32 (uninitialised), y in `compute_dtype`; no bias."""

    def __init__(self, in_features: int, out_features: int, *, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.compute_dtype = compute_dtype
        self._cast: tuple[int, int, Tensor] | None = None

    @property
    def in_features(self) -> int:
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        return self.weight.shape[0]

    def cast_weight(self) -> Tensor:
        """The weight in the compute dtype, without a graph."""
        weight = self.weight.detach()
        if self.compute_dtype == weight.dtype:
            return weight
        # The version counter grows with every in-place change, the address changes with every new tensor.
        state = (weight.data_ptr(), self.weight._version)
        if self._cast is None or self._cast[:2] != state:
            self._cast = (*state, weight.to(self.compute_dtype))
        return self._cast[2]

    def forward(self, x: Tensor) -> Tensor:
        if self.compute_dtype == self.weight.dtype:
            return F.linear(x.to(self.compute_dtype), self.weight)
        return _CastLinear.apply(x, self.weight, self.cast_weight())

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, compute_dtype={self.compute_dtype}"


class Embedding(Linear):
    """Rows of a `[vocab, d_model]` weight by token; as a projection, the tied output layer."""

    def __init__(self, vocab_size: int, d_model: int, *, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__(d_model, vocab_size, compute_dtype=compute_dtype)

    def lookup(self, tokens: Tensor) -> Tensor:
        """`[n]` int64 -> `[n, d_model]` float32."""
        return F.embedding(tokens, self.weight)


class _CastLinear(torch.autograd.Function):
    """The product with an already cast weight; the gradient goes to the float32 parameter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, cast: Tensor) -> Tensor:
        x_cast = x.to(cast.dtype)
        ctx.save_for_backward(x_cast if ctx.needs_input_grad[1] else None, cast)
        ctx.input_dtype, ctx.weight_dtype = x.dtype, weight.dtype
        return F.linear(x_cast, cast)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_cast, cast = ctx.saved_tensors
        grad = grad.to(cast.dtype)
        grad_x = (grad @ cast).to(ctx.input_dtype) if ctx.needs_input_grad[0] else None
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (grad.flatten(0, -2).t() @ x_cast.flatten(0, -2)).to(ctx.weight_dtype)
        return grad_x, grad_weight, None
