"""Normalization layers, in float32: over the last dimension of `[tokens, width]`, BatchNorm over the tokens.

WeightNorm normalizes weights instead of activations and is a kind of projection: `burnish.nn.linear.WeightNormLinear`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from burnish.nn.config import DecoderConfig


def make_norm(config: DecoderConfig, width: int | None = None) -> nn.Module:
    """The norm that a configuration asks for, over `d_model` or `width`; the identity for `weight` and `none`."""
    width = width or config.d_model
    if config.norm == "rms":
        return RMSNorm(width, eps=config.norm_eps)
    if config.norm == "layer":
        return LayerNorm(width, eps=config.norm_eps, bias=config.norm_bias)
    if config.norm == "batch":
        return BatchNorm(width, eps=config.norm_eps, bias=config.norm_bias)
    return nn.Identity()


class RMSNorm(nn.Module):
    """`x / rms(x) · weight` over the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4)."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """`[..., width]` -> the same shape, float32."""
        x = x.float()
        if not torch.is_grad_enabled():  # A decoding step is many small operations: it feels the call itself.
            return (x * _inverse_rms(x, self.eps)).mul_(self.weight)
        return _RMSNorm.apply(x, self.weight, self.eps)


class LayerNorm(nn.Module):
    """`(x - mean) / deviation · weight + bias` over the last dimension (Ba 2016, arXiv:1607.06450, eq. 4)."""

    def __init__(self, width: int, *, eps: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """`[..., width]` -> the same shape, float32."""
        return F.layer_norm(x.float(), self.weight.shape, self.weight, self.bias, self.eps)


class BatchNorm(nn.Module):
    """Each feature normalized over the tokens of the batch (Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1).

    In evaluation and generation the running mean and variance stand for the batch's. A token that several sequences
    of a forest share counts once. The statistics look at later tokens and at other sequences: that, and not only
    small batches, is what makes it a poor norm for a language model, and why the lab has it.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, width: int, *, eps: float, bias: bool = True, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.eps, self.momentum = eps, momentum
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """`[tokens, width]` -> the same shape, float32; one token alone has no variance and takes the running one."""
        return F.batch_norm(
            x.float(),
            self.running_mean,
            self.running_variance,
            self.weight,
            self.bias,
            training=self.training and len(x) > 1,
            momentum=self.momentum,
            eps=self.eps,
        )


def _inverse_rms(x: Tensor, eps: float) -> Tensor:
    """`(mean(x²) + ε)^-1/2` over the last dimension, kept as one of size 1."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


class _RMSNorm(torch.autograd.Function):
    """With the gradient in closed form: half the passes over memory of differentiating each operation.

    y = x r w, r = (mean(x²) + ε)^-1/2;  dx = r w dy - x r³ mean(x w dy);  dw = Σ_tokens x r dy
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = _inverse_rms(x, eps)
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        width = x.shape[-1]
        product = grad * x
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (scale.reshape(1, -1) @ product.reshape(-1, width)).squeeze(0)
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None
        mean_product = (product @ weight)[..., None].div_(width)
        grad_x = torch.mul(grad, weight, out=product).mul_(scale)
        return grad_x.addcmul_(x, mean_product.mul_(scale**3), value=-1), grad_weight, None
