"""Random weights of a decoder before any training."""

import math

import torch
from torch import nn

from burnish.nn.config import DecoderConfig, DeepNorm
from burnish.nn.linear import Linear, WeightNormLinear
from burnish.nn.norm import BatchNorm, LayerNorm, RMSNorm

_DEVIATION = 0.02
_GAINED_PARTS = ("v", "o", "gate", "up", "down")


@torch.no_grad()
def initialize(
    decoder: nn.Module, config: DecoderConfig, generator: torch.Generator, *, deepnorm: DeepNorm | None = None
) -> None:
    """Draw all weights anew: normal with deviation 0.02, norms at one, biases at zero (Radford 2019, section 2.3).

    With DeepNorm the projections of the blocks are drawn by Xavier's rule instead (Glorot 2010), and those of v, o and
    the feed-forward scaled by β (Wang 2022, arXiv:2203.00555, figure 2): the configuration's where `deepnorm` is None.
    WeightNorm starts at the same matrices.
    """
    gain = (deepnorm or config.deepnorm).beta
    for module in decoder.modules():
        if isinstance(module, Linear):
            if config.norm_placement == "deepnorm" and "" not in module.parts:
                _xavier(module, gain, generator)
            else:
                module.weight.normal_(std=_DEVIATION, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
            if isinstance(module, WeightNormLinear):
                module.gain.copy_(torch.linalg.vector_norm(module.weight, dim=1))
        elif isinstance(module, RMSNorm | LayerNorm | BatchNorm):
            module.weight.fill_(1.0)
            if not isinstance(module, RMSNorm) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, BatchNorm):
                module.running_mean.zero_()
                module.running_variance.fill_(1.0)


def _xavier(linear: Linear, gain: float, generator: torch.Generator) -> None:
    """Normal with variance 2 / (in + out) for each part; β on those that add to the residual stream."""
    for name, rows in linear.parts.items():
        deviation = math.sqrt(2 / (linear.in_features + rows.stop - rows.start))
        scale = gain if name in _GAINED_PARTS else 1.0
        linear.weight[rows].normal_(std=deviation * scale, generator=generator)
