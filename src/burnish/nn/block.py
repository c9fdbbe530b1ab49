"""One layer of the decoder."""

import torch
from torch import Tensor, nn

from burnish.nn.attention import Attend, Attention
from burnish.nn.config import DecoderConfig
from burnish.nn.feed_forward import SwiGLU
from burnish.nn.norm import RMSNorm


class Block(nn.Module):
    """Pre-norm residual block: `x + attention(norm(x))`, then `x + feed_forward(norm(x))`."""

    def __init__(self, config: DecoderConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model, eps=config.norm_eps)
        self.attention = Attention(config, compute_dtype=compute_dtype)
        self.feed_forward_norm = RMSNorm(config.d_model, eps=config.norm_eps)
        self.feed_forward = SwiGLU(config, compute_dtype=compute_dtype)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        x = x + self.attention(self.attention_norm(x), angles, attend)
        return x + self.feed_forward(self.feed_forward_norm(x))
