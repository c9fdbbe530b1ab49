"""Models small enough to train in a test."""

from dataclasses import replace
from typing import Any

from torch import nn

from burnish.nn.config import DecoderConfig, EncoderDecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder

TINY = DecoderConfig(
    vocab_size=50, d_model=24, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, d_ff=32, rope_theta=100.0
)


def tiny_decoder(seed: int = 0, scale: float = 1.0, **options: Any) -> Decoder:
    """Random weights; a larger scale makes the predictions less uniform. options: of the configuration."""
    decoder = Decoder(replace(TINY, **options))
    decoder.initialize(seed=seed)
    _scale(decoder, scale)
    return decoder


def encoder_decoder(
    seed: int = 0, scale: float = 1.0, *, config: EncoderDecoderConfig | None = None, **changes: Any
) -> EncoderDecoder:
    """Two sides like `TINY` with random weights, in evaluation mode."""
    model = EncoderDecoder(config or EncoderDecoderConfig.alike(TINY, start_id=1, **changes))
    model.initialize(seed=seed)
    _scale(model, scale)
    return model.eval()


def _scale(model: nn.Module, scale: float) -> None:
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(scale)
