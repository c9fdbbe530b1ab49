"""Rotary position embedding (Su 2021, arXiv:2104.09864, section 3.2), in the rotate-halves layout of Hugging Face."""

import torch
from torch import Tensor


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
    cos, sin = angles
    x = x.float()
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], dim=-1)
    return torch.addcmul(x * cos, swapped, sin)
