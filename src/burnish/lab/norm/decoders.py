"""The decoders that `burnish lab norm` compares: one small transformer, and the norms and placements around it."""

import math
from dataclasses import replace
from typing import get_args

import torch

from burnish.lab.text import VOCAB_SIZE
from burnish.nn.config import DecoderConfig, NormKind, Placement
from burnish.nn.decoder import Decoder
from burnish.nn.linear import Embedding, Linear, WeightNormLinear

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
NORM_NAMES: dict[NormKind, str] = {
    "layer": "LayerNorm",
    "rms": "RMSNorm",
    "batch": "BatchNorm",
    "weight": "WeightNorm",
    "none": "no norm",
}

_SCALED_BY_DEEPNORM = ("v", "o", "gate", "up", "down")


def architecture(*, d_model: int, head_dim: int) -> DecoderConfig:
    """The decoder of the papers compared, over bytes: ReLU feed-forward of 4 d_model, an output layer of its own."""
    return DecoderConfig(
        vocab_size=VOCAB_SIZE,
        d_model=d_model,
        n_layers=1,
        n_heads=d_model // head_dim,
        n_kv_heads=d_model // head_dim,
        head_dim=head_dim,
        d_ff=4 * d_model,
        activation="relu",
        gated=False,
        tie_embeddings=False,
        norm="layer",
    )


def placed(config: DecoderConfig, placement: Placement, n_layers: int, norm: NormKind = "layer") -> DecoderConfig:
    return replace(config, norm=norm, norm_placement=placement, n_layers=n_layers)


def kinds(config: DecoderConfig) -> dict[str, dict[Placement, DecoderConfig]]:
    """Every norm in every placement that means something, by name; and LayerNorm without residual connections.

    Without a norm of activations only DeepNorm's scales mean anything. Without `x +` there are two places left.
    """
    found: dict[str, dict[Placement, DecoderConfig]] = {}
    for norm, name in NORM_NAMES.items():
        placements: tuple[Placement, ...] = ("pre", "deepnorm") if norm in ("weight", "none") else PLACEMENTS
        found[name] = {placement: placed(config, placement, config.n_layers, norm) for placement in placements}
    alone = replace(config, norm="layer", residual=False)
    found["LayerNorm, no residual"] = {
        placement: placed(alone, placement, config.n_layers) for placement in ("pre", "post")
    }
    return found


def drawn(config: DecoderConfig, *, seed: int) -> Decoder:
    """A decoder with the initial weights of Xiong 2020 (arXiv:2002.04745, section 3.2), for every placement alike.

    Projections are drawn by Xavier's rule (Glorot 2010), normal with variance 2 / (in + out), embeddings with
    variance 1: the stream starts at the scale that the norms give it. DeepNorm adds its β (Wang 2022, figure 2).
    """
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in decoder.modules():
            if isinstance(module, Embedding):
                module.weight.normal_(generator=generator)
            elif isinstance(module, Linear):
                for name, rows in module.parts.items():
                    gain = config.deepnorm.beta if name in _SCALED_BY_DEEPNORM else 1.0
                    weight = module.weight[rows]
                    weight.normal_(std=gain * math.sqrt(2 / sum(weight.shape)), generator=generator)
                if isinstance(module, WeightNormLinear):
                    module.gain.copy_(torch.linalg.vector_norm(module.weight, dim=1))
    return decoder
