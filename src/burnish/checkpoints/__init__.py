"""Checkpoints: Hugging Face folders, GGUF files and PEFT adapters to a decoder and its tokenizer, and back."""

from pathlib import Path

import torch
from torch import Tensor

from burnish.checkpoints import gguf
from burnish.errors import CheckpointError
from burnish.hardware import choose_compute_dtype, choose_device
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer


def load(
    path: Path | str, *, compute_dtype: str | torch.dtype = "auto", device: str | torch.device = "auto"
) -> tuple[Decoder, Tokenizer]:
    path = Path(path)
    file = gguf.open_gguf(path)
    family, config = gguf.read_config(file)
    tokenizer = gguf.read_tokenizer(file)
    state = gguf.read_state(file, family, config)
    where = choose_device(device) if isinstance(device, str) else device
    dtype = choose_compute_dtype(compute_dtype, where) if isinstance(compute_dtype, str) else compute_dtype
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{tokenizer.source} has {tokenizer.vocab_size} tokens, but the model's embedding only {config.vocab_size}"
        )
    return build(config, state, dtype, where), tokenizer


def build(config: DecoderConfig, state: dict[str, Tensor], dtype: torch.dtype, device: torch.device) -> Decoder:
    """A decoder that owns the tensors of `state`, without first filling one with random numbers."""
    with torch.device("meta"):
        decoder = Decoder(config, compute_dtype=dtype)
    decoder.load_state_dict(state, assign=True)
    return decoder.to(device)
