"""The feed-forward layer of a block."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.nn.config import DecoderConfig
from burnish.nn.linear import Linear


class SwiGLU(nn.Module):
    """`down(silu(gate(x)) · up(x))` (Shazeer 2020, arXiv:2002.05202, eq. 6)."""

    def __init__(self, config: DecoderConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.gate = Linear(config.d_model, config.d_ff, compute_dtype=compute_dtype)
        self.up = Linear(config.d_model, config.d_ff, compute_dtype=compute_dtype)
        self.down = Linear(config.d_ff, config.d_model, compute_dtype=compute_dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))
