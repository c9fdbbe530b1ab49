"""The feed-forward layer of a block."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from burnish.nn.config import Activation, DecoderConfig
from burnish.nn.linear import Linear, WeightNormLinear
from burnish.nn.recompute import recomputed

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


class FeedForward(nn.Module):
    """`down(act(gate(x)) · up(x))` where gated (Shazeer 2020, arXiv:2002.05202, eq. 6), else `down(act(up(x)))`.

    Gate and up are one product, `gate_up`.
    """

    def __init__(self, config: DecoderConfig, *, compute_dtype: torch.dtype) -> None:
        super().__init__()
        kind = WeightNormLinear if config.norm == "weight" else Linear
        bias, d_ff = config.feed_forward_bias, config.d_ff
        parts = {"gate": d_ff, "up": d_ff} if config.gated else {"up": d_ff}
        self.gated, self.activation = config.gated, config.activation
        wide = kind(config.d_model, sum(parts.values()), bias=bias, parts=parts, compute_dtype=compute_dtype)
        if config.gated:
            self.gate_up = wide
        else:
            self.up = wide
        self.down = kind(d_ff, config.d_model, bias=bias, parts={"down": config.d_model}, compute_dtype=compute_dtype)

    def forward(self, x: Tensor) -> Tensor:
        """`[tokens, d_model]` -> the same shape."""
        activate = ACTIVATIONS[self.activation]
        if not self.gated:
            return self.down(activate(self.up(x)))
        gate_up = self.gate_up(x)
        if self.activation == "silu":
            if not torch.is_grad_enabled():
                return self.down(_swiglu(gate_up))
            product, kept = _SwiGLU.apply(gate_up), gate_up.detach()
            with recomputed(product, lambda: _swiglu(kept)):
                return self.down(product)
        gate, up = gate_up.chunk(2, dim=-1)
        return self.down(activate(gate) * up)


def _swiglu(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)


class _SwiGLU(torch.autograd.Function):
    """`silu(gate) · up` of `[tokens, 2 d_ff]`, keeping only its input.

    silu(g) = g σ(g);  d silu / dg = σ(g) (1 + g (1 - σ(g)))
    """

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        return _swiglu(gate_up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        grad_gate_up = torch.empty_like(gate_up)
        grad_gate, grad_up = grad_gate_up.chunk(2, dim=-1)
        torch.mul(grad, F.silu(gate), out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        return grad_gate_up
