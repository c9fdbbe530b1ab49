"""Between a decoder and named tensors: what every checkpoint format checks and does."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from burnish.checkpoints.families import Family, Weight, family_for
from burnish.errors import BurnishError, CheckpointError
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.lora import lora_config
from burnish.text.tokenizer import Tokenizer


@contextmanager
def reading() -> Iterator[None]:
    """Turns the `BurnishError` of a file that cannot be read into a `CheckpointError`."""
    try:
        yield
    except CheckpointError:
        raise
    except BurnishError as error:
        raise CheckpointError(str(error)) from error


def build_decoder(
    config: DecoderConfig, state: Mapping[str, Tensor], *, compute_dtype: torch.dtype, device: torch.device
) -> Decoder:
    """A decoder that owns the tensors of `state`, in evaluation mode; no random weights are drawn first."""
    with torch.device("meta"):
        decoder = Decoder(config, compute_dtype=compute_dtype)
    decoder.load_state_dict(dict(state), assign=True)
    return decoder.to(device).eval()


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
    """Refuses a tokenizer with ids that the decoder has no embedding for; spare rows are common and harmless.

    Tokens that nothing writes need no row: control tokens that end no text, such as the place of an image in Gemma 3,
    or a padding token that a tokenizer was given later. Two tokens of one id are refused too: one of them would be read
    as the other.
    """
    by_id: dict[int, str] = {}
    for token, token_id in tokenizer.backend.get_vocab(with_added_tokens=True).items():
        if by_id.setdefault(token_id, token) != token:
            raise CheckpointError(f"{tokenizer.source}: {by_id[token_id]!r} and {token!r} both have the id {token_id}")
    rows = decoder.config.vocab_size
    if tokenizer.vocab_size <= rows:
        return
    beyond = {i for i in by_id if i >= rows}
    needed = beyond - tokenizer.control_ids | beyond & ({tokenizer.bos_id, tokenizer.eos_id} | tokenizer.stop_ids)
    if needed:
        first = min(needed)
        raise CheckpointError(
            f"{tokenizer.source} has {tokenizer.vocab_size} tokens, but the model's embedding has only "
            f"{rows} rows, none for {str(tokenizer.token(first))!r} (id {first}); they do not belong together"
        )


def check_no_adapters(decoder: Decoder) -> None:
    """Refuses a decoder with LoRA adapters beside its weights."""
    if lora_config(decoder) is not None:
        raise CheckpointError(
            "the model has LoRA adapters: fold them in with burnish.nn.lora.merge_lora before saving it, "
            "or save them alone with burnish.checkpoints.peft.save_adapter"
        )


def weights_of(decoder: Decoder, family: Family | None = None) -> Iterator[tuple[Weight, Tensor]]:
    """Each tensor of the decoder's checkpoint, float32 on the CPU and in the decoder's layout, with its names.

    family: the one to save it as; by default the one that `family_for` chooses.
    Raises `CheckpointError` when it has adapters, which no weight file can hold apart.
    """
    check_no_adapters(decoder)
    state = decoder.state_dict()
    for weight in (family or family_for(decoder.config)).expected_weights(decoder.config):
        parameter = state[weight.name]
        part = parameter if weight.part is None else parameter[weight.rows]
        yield weight, part.detach().to("cpu", torch.float32)


def assemble(weights: Iterable[Weight], tensors: Iterable[tuple[Weight, Tensor]]) -> dict[str, Tensor]:
    """The decoder's parameters from the tensors of a checkpoint, each in the decoder's layout.

    Parts are written into their rows one by one, so that a model is never held twice.
    """
    n_rows = Counter[str]()
    for weight in weights:
        n_rows[weight.name] += weight.shape[0]
    state: dict[str, Tensor] = {}
    for weight, tensor in tensors:
        if weight.part is None:
            state[weight.name] = tensor
            continue
        if weight.name not in state:
            state[weight.name] = tensor.new_empty(n_rows[weight.name], *weight.shape[1:])
        state[weight.name][weight.rows] = tensor
    return state
