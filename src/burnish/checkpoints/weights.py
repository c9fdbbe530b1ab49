"""Between a decoder and named tensors: what every checkpoint format checks and does."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from burnish.checkpoints.families import LLAMA, Weight
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.lora import lora_config
from burnish.text.tokenizer import Tokenizer


def build_decoder(
    config: DecoderConfig, state: Mapping[str, Tensor], *, compute_dtype: torch.dtype, device: torch.device
) -> Decoder:
    """A decoder that owns the tensors of `state`; no random weights are drawn first."""
    with torch.device("meta"):
        decoder = Decoder(config, compute_dtype=compute_dtype)
    decoder.load_state_dict(dict(state), assign=True)
    return decoder.to(device)


def check_shape(file: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Refuses a tensor whose shape contradicts the configuration."""
    if found != expected:
        raise CheckpointError(
            f"{file}: tensor {name} has shape {list(found)}, but the configuration says {list(expected)}"
        )


def check_finite(file: Path, name: str, tensor: Tensor) -> None:
    """Refuses a tensor with infinite values or values that are not numbers."""
    if not torch.isfinite(tensor.sum()):
        raise CheckpointError(f"{file}: tensor {name} holds values that are not finite; the file is damaged")


def check_vocabulary(decoder: Decoder, tokenizer: Tokenizer) -> None:
    """Refuses a tokenizer with ids that the decoder has no embedding for; spare rows are common and harmless."""
    if tokenizer.vocab_size > decoder.config.vocab_size:
        raise CheckpointError(
            f"{tokenizer.source} has {tokenizer.vocab_size} tokens, but the model's embedding has only "
            f"{decoder.config.vocab_size} rows; they do not belong together"
        )


def weights_of(decoder: Decoder) -> Iterator[tuple[Weight, Tensor]]:
    """Each of the decoder's weights, float32 on the CPU, with its names in the formats.

    A decoder computes the mathematics of the Llama family, whatever family it came from, so it is saved as that.
    Raises `CheckpointError` when it has adapters, which no weight file can hold apart.
    """
    if lora_config(decoder) is not None:
        raise CheckpointError(
            "the model has LoRA adapters: fold them in with burnish.nn.lora.merge_lora before saving it, "
            "or save them alone with burnish.checkpoints.peft.save_adapter"
        )
    state = decoder.state_dict()
    for weight in LLAMA.expected_weights(decoder.config):
        yield weight, state[weight.name].detach().to("cpu", torch.float32)
