"""Rotary position embedding (Su 2021, arXiv:2104.09864, section 3.2), in the rotate-halves layout of Hugging Face."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def rotary_angles(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines for `positions` `[n]`: two float32 tensors `[n, 1, head_dim]`.

    The sines carry the sign of the rotation, so that rotating is `x · cos + swap_halves(x) · sin`.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device) / head_dim
    angles = positions.float()[:, None] * (1.0 / theta**exponents)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=-1)[:, None], torch.cat([-sin, sin], dim=-1)[:, None]


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate `x` `[n, heads, head_dim]` by the angles of its positions; float32."""
    return _Rotation.apply(x.float(), *angles)


class _Rotation(torch.autograd.Function):
    """The gradient of a rotation is the rotation back: nothing of the input is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotated(grad, cos, -sin), None, None


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    swapped = torch.cat(x.chunk(2, dim=-1)[::-1], dim=-1)
    return swapped.mul_(sin).addcmul_(x, cos)
