"""Models small enough to train in a test."""

from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder

TINY = DecoderConfig(
    vocab_size=50, d_model=24, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, d_ff=32, rope_theta=100.0
)


def tiny_decoder(seed: int = 0, scale: float = 1.0) -> Decoder:
    """Random weights; a larger scale makes the predictions less uniform."""
    decoder = Decoder(TINY)
    decoder.initialize(seed=seed)
    for name, parameter in decoder.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(scale)
    return decoder
