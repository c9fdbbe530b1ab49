"""Checkpoints: Hugging Face folders, GGUF files and PEFT adapters to a decoder and its tokenizer, and back.

Decoders that no model family can hold have folders of Burnish's own (`burnish.checkpoints.own_format`).

Only safetensors and GGUF are read. A pickle can run code when it is opened and is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from burnish.checkpoints import (
    encoder_decoder,
    gguf,
    huggingface,
    own_format,
    peft,
    process_reward_models,
    reward_models,
)
from burnish.checkpoints.encoder_decoder import save_encoder_decoder
from burnish.checkpoints.families import no_family
from burnish.checkpoints.gguf_file import open_gguf
from burnish.checkpoints.process_reward_models import save_process_reward_model
from burnish.checkpoints.reward_models import save_reward_model
from burnish.checkpoints.weights import build_decoder, check_vocabulary
from burnish.errors import CheckpointError
from burnish.hardware import choose_compute_dtype, choose_device
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.nn.process_reward import ProcessRewardModel
from burnish.nn.scalar import ScalarModel
from burnish.text.tokenizer import Tokenizer

__all__ = [
    "load",
    "load_encoder_decoder",
    "load_process_reward_model",
    "load_reward_model",
    "read_config",
    "save",
    "save_encoder_decoder",
    "save_process_reward_model",
    "save_reward_model",
]

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def load(
    path: Path | str,
    *,
    compute_dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    base: Path | str | None = None,
    merged: bool = True,
) -> tuple[Decoder, Tokenizer]:
    """Loads a model: a Hugging Face folder, a .gguf file, the folder of a PEFT adapter, or one of Burnish's own.

    Weights become float32 parameters on `device`; matrix products run in `compute_dtype` ("auto", "float32",
    "bfloat16" or a torch dtype). For an adapter, `base` is the model it belongs to, by default the one that it
    names; `merged=False` keeps its LoRA modules apart instead of folding them into the weights.
    Raises `CheckpointError` naming the file and what is wrong with it.
    """
    path = Path(path)
    where, dtype = _place(device, compute_dtype)
    if (path / peft.CONFIG_FILE).exists():
        decoder, tokenizer = load(_base_of(path, base), compute_dtype=dtype, device=where)
        if (path / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_folder(path)
        decoder = peft.load_adapter(decoder, path, merge=merged)
    elif own_format.is_own(path):
        config = own_format.read_config(path)
        tokenizer = Tokenizer.from_folder(path)
        state = own_format.read_state(path, config)
        decoder = build_decoder(config, state, compute_dtype=dtype, device=where)
    elif path.is_dir():
        family, config = huggingface.read_config(path)
        tokenizer = Tokenizer.from_folder(path)
        config = huggingface.untied(path, family, config)
        state = huggingface.read_state(path, family, config)
        decoder = build_decoder(config, state, compute_dtype=dtype, device=where)
    else:
        _refuse_foreign(path)
        file = open_gguf(path)
        family, config = gguf.read_config(file)
        tokenizer = Tokenizer.from_gguf(file.metadata, path)
        state = gguf.read_state(file, family, config)
        decoder = build_decoder(config, state, compute_dtype=dtype, device=where)
    check_vocabulary(decoder, tokenizer)
    return decoder, tokenizer


def save(
    decoder: Decoder,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    generation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a model folder: a Hugging Face one, which transformers and vLLM load unchanged, or one of Burnish's own.

    The format is that of the family that the model came from (`DecoderConfig.model_type`) where it can hold the model,
    else of the first family that can. What none can hold (BatchNorm, WeightNorm, DeepNorm, no residuals, ...) becomes a
    folder that `load` alone reads, with `burnish.json` in place of `config.json`; `checkpoints.huggingface.write` would
    refuse it, naming the settings.

    `card` is the text of README.md, `generation` the settings of generation_config.json beyond the stop tokens, `dtype`
    the stored format (float32 unless given). An existing folder is replaced whole, or left alone if anything fails.
    """
    write = huggingface.write if no_family(decoder.config) is None else own_format.write
    write(decoder, tokenizer, folder, card=card, generation=generation, dtype=dtype)


def read_config(path: Path) -> DecoderConfig:
    """The shape of the model in a folder or a .gguf file, from its headers alone; CheckpointError for anything else."""
    if own_format.is_own(path):
        return own_format.read_config(path)
    return (huggingface.read_config(path) if path.is_dir() else gguf.read_config(open_gguf(path)))[1]


def load_reward_model(
    path: Path | str, *, compute_dtype: str | torch.dtype = "auto", device: str | torch.device = "auto"
) -> tuple[ScalarModel, Tokenizer]:
    """Loads a reward model: a Hugging Face folder of a `...ForSequenceClassification` with one label.

    Arguments as for `load`. The reward of a conversation is `model(forest, indices)` at its last token as the chat
    template writes it. Raises `CheckpointError` naming the file and what is wrong with it.
    """
    where, dtype = _place(device, compute_dtype)
    return reward_models.read(Path(path), compute_dtype=dtype, device=where)


def load_process_reward_model(
    path: Path | str, *, compute_dtype: str | torch.dtype = "auto", device: str | torch.device = "auto"
) -> tuple[ProcessRewardModel, Tokenizer]:
    """Loads a process reward model: a Hugging Face folder of a `...ForTokenClassification` with two labels.

    Arguments as for `load`. Label 1 is "right". Raises `CheckpointError` naming the file and what is wrong with it.
    """
    where, dtype = _place(device, compute_dtype)
    return process_reward_models.read(Path(path), compute_dtype=dtype, device=where)


def load_encoder_decoder(
    path: Path | str, *, compute_dtype: str | torch.dtype = "auto", device: str | torch.device = "auto"
) -> tuple[EncoderDecoder, Tokenizer]:
    """Loads an encoder-decoder: a Hugging Face folder of a BART, or one of Burnish's own.

    Arguments as for `load`. Raises `CheckpointError` naming the file and what is wrong with it.
    """
    where, dtype = _place(device, compute_dtype)
    return encoder_decoder.read(Path(path), compute_dtype=dtype, device=where)


def _place(device: str | torch.device, compute_dtype: str | torch.dtype) -> tuple[torch.device, torch.dtype]:
    """The device and the format of matrix products that a caller asks for."""
    where = choose_device(device) if isinstance(device, str) else device
    return where, choose_compute_dtype(compute_dtype, where) if isinstance(compute_dtype, str) else compute_dtype


def _base_of(adapter: Path, base: Path | str | None) -> Path:
    """Where an adapter's base model is: as given, else as the adapter names it, also relative to its folder."""
    if base is not None:
        return Path(base)
    named = peft.base_of(adapter)
    if named is None:
        raise CheckpointError(f"{adapter / peft.CONFIG_FILE} names no base model; give it as base=...")
    for found in (Path(named), adapter / named):
        if found.exists() and found.resolve() != adapter.resolve():
            return found
    raise CheckpointError(
        f"{adapter / peft.CONFIG_FILE}: the base model {named!r} is not a file or folder here; nothing is "
        "downloaded, so give its path as base=..."
    )


def _refuse_foreign(path: Path) -> None:
    """Refuses files that are plainly no GGUF, with what to do instead."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; give a model folder, an adapter folder or a .gguf file")
    if path.suffix in _PICKLES:
        raise CheckpointError(
            f"{path} is a pickle, which can run code when it is opened, and is never read; convert it with "
            "transformers (save_pretrained writes model.safetensors)"
        )
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path} holds weights only; give the folder {path.parent} with its config.json")
