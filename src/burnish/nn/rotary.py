"""Rotary position embedding (Su 2021, arXiv:2104.09864, section 3.2), in the rotate-halves layout of Hugging Face."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from burnish.nn.config import RopeScaling

Angles = tuple[Tensor, Tensor]
"""Cosines and signed sines, `[n, 1, rotary_dim]` float32."""


def rotary_angles(positions: Tensor, dim: int, theta: float, scaling: RopeScaling | None = None) -> Angles:
    """Cosines and sines for `positions` `[n]`: two float32 tensors `[n, 1, dim]`.

    The sines carry the sign of the rotation, so that rotating is `x · cos + swap_halves(x) · sin`.
    """
    angles = positions.float()[:, None] * frequencies(dim, theta, scaling, device=positions.device)
    cos, sin = angles.cos(), angles.sin()
    if scaling is not None and (factor := attention_factor(scaling)) != 1.0:
        cos, sin = cos * factor, sin * factor
    return torch.cat([cos, cos], dim=-1)[:, None], torch.cat([-sin, sin], dim=-1)[:, None]


def frequencies(
    dim: int, theta: float, scaling: RopeScaling | None = None, *, device: torch.device | None = None
) -> Tensor:
    """Radians a position of each pair of dimensions: float32 `[dim / 2]`."""
    exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=device) / dim
    plain = 1.0 / theta**exponents
    if scaling is None:
        return plain
    slow = plain / scaling.factor
    if scaling.kind == "linear":
        return slow
    if scaling.kind == "llama3":
        turns = scaling.original_max_positions * plain / (2 * math.pi)
        share = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
        share = share.clamp(0, 1)
        return share * plain + (1 - share) * slow
    # YaRN, equation 23: the ramp runs over dimensions, between those that turn beta_fast and beta_slow times.
    low, high = (
        dim * math.log(scaling.original_max_positions / (turns * 2 * math.pi)) / (2 * math.log(theta))
        for turns in (scaling.beta_fast, scaling.beta_slow)
    )
    low, high = max(math.floor(low), 0), min(math.ceil(high), dim - 1)
    ramp = (torch.arange(dim // 2, dtype=torch.float32, device=device) - low) / max(high - low, 0.001)
    ramp = ramp.clamp(0, 1)
    return ramp * slow + (1 - ramp) * plain


def attention_factor(scaling: RopeScaling) -> float:
    """What scales cosines and sines: YaRN's temperature 0.1 ln(factor) + 1 (section 3.4) unless given; else 1."""
    if scaling.kind != "yarn":
        return 1.0
    return scaling.attention_factor if scaling.attention_factor is not None else 0.1 * math.log(scaling.factor) + 1.0


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Rotate the first `rotary_dim` of `x` `[n, heads, head_dim]` by the angles of its positions; float32."""
    return _Rotation.apply(x.float(), *angles)


class _Rotation(torch.autograd.Function):
    """The gradient of a rotation is the rotation back: nothing of the input is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return rotated(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return rotated(grad, cos, -sin), None, None


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` `[n, heads, head_dim]` with its first `cos.shape[-1]` dimensions rotated, in new memory; no gradient."""
    dim = cos.shape[-1]
    if dim == x.shape[-1]:
        first, second = x.chunk(2, dim=-1)
        return torch.cat((second, first), dim=-1).mul_(sin).addcmul_(x, cos)
    return torch.cat((rotated(x[..., :dim], cos, sin), x[..., dim:]), dim=-1)
