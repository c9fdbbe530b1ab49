"""Model folders of Burnish's own: `burnish.json`, safetensors and the tokenizer, for decoders that no family can hold.

What the decoder has is what is written: `burnish.json` has every field of `DecoderConfig`, and the weights and buffers
(BatchNorm's running statistics, WeightNorm's gains) have the decoder's own names, so that nothing is computed on the
way and a model comes back with the same bits. Both files are hostile input: validated, unknown keys refused, no pickle.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from burnish import __version__
from burnish.checkpoints.families.settings import checked, shown
from burnish.checkpoints.huggingface import (
    read_json,
    read_tensors,
    special_ids,
    tensor_files,
    write_json,
    write_weights,
)
from burnish.checkpoints.weights import check_no_adapters, check_vocabulary
from burnish.errors import CheckpointError
from burnish.files import atomic_folder
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

CONFIG_FILE = "burnish.json"
FORMAT = "burnish-decoder-1"

_DEEPEST = 10_000
"""A damaged number of layers must not make us build modules for hours."""


class _Document(BaseModel):
    """What `burnish.json` holds. dtype: the number format of the weights; buffers stay float32."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    format: Literal["burnish-decoder-1"]
    burnish: str
    dtype: Literal["float32", "bfloat16", "float16"]
    decoder: DecoderConfig


def is_own(folder: Path) -> bool:
    """Whether a folder holds a model in this format."""
    return (folder / CONFIG_FILE).is_file()


def read_config(folder: Path) -> DecoderConfig:
    """The configuration in `burnish.json`. Raises `CheckpointError` naming the file and the key at fault."""
    file = folder / CONFIG_FILE
    try:
        config = _Document.model_validate_json(json.dumps(read_json(file))).decoder
    except ValidationError as error:
        raise CheckpointError(f"{file}: {_first(error)}") from error
    except ValueError as error:  # half a surrogate pair
        raise CheckpointError(f"{file}: {error}") from error
    _check_sizes(file, config)
    return config


def read_state(folder: Path, config: DecoderConfig) -> dict[str, Tensor]:
    """Weights and buffers under the decoder's names. Raises `CheckpointError` for any that is missing or strange."""
    expected = _shapes(folder / CONFIG_FILE, config)
    homes = tensor_files(folder)
    if extra := sorted(homes.keys() - expected.keys()):
        raise CheckpointError(
            f"{homes[extra[0]]}: tensor {shown(extra[0])} is not part of the model that {CONFIG_FILE} describes "
            f"({len(extra)} such tensors)"
        )
    if missing := [name for name in expected if name not in homes]:
        raise CheckpointError(
            f"{folder}: tensor {missing[0]} is missing ({len(missing)} of {len(expected)} are); the model is incomplete"
        )
    state: dict[str, Tensor] = {}
    for file in sorted({*homes.values()}):
        state |= read_tensors(file, {name: shape for name, shape in expected.items() if homes[name] == file})
    return state


def write(
    decoder: Decoder,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    generation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a model folder that `burnish.load` reads back; arguments as for `burnish.save`."""
    check_vocabulary(decoder, tokenizer)
    check_no_adapters(decoder)
    name = str(dtype or torch.float32).removeprefix("torch.")
    with atomic_folder(folder) as temporary:
        document = {"format": FORMAT, "burnish": __version__, "dtype": name, "decoder": asdict(decoder.config)}
        write_json(temporary / CONFIG_FILE, document)
        # What could not be read again is not written.
        read_config(temporary)
        special = special_ids(tokenizer, decoder.config.vocab_size)
        write_json(temporary / "generation_config.json", {**special, **(generation or {})})
        tokenizer.save(temporary)
        if card is not None:
            (temporary / "README.md").write_text(card, encoding="utf-8")
        write_weights(_stored(decoder, dtype or torch.float32), temporary)


def _stored(decoder: Decoder, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Each weight in `dtype` and each buffer as it is, on the CPU."""
    buffers = dict(decoder.named_buffers())
    for name, tensor in decoder.state_dict().items():
        yield name, tensor.detach().to("cpu", tensor.dtype if name in buffers else dtype)


def _shapes(file: Path, config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a decoder, which is not allocated."""
    try:
        with torch.device("meta"):
            return {name: tuple(tensor.shape) for name, tensor in Decoder(config).state_dict().items()}
    except (RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{file}: no model can have these sizes ({str(error).splitlines()[0]})") from error


def _check_sizes(file: Path, config: DecoderConfig) -> None:
    """Refuses numbers that are not above 0, or too large for any model, and layers that are not there."""
    numbers = {f"decoder.{field.name}": getattr(config, field.name) for field in fields(config)}
    if config.rope_scaling is not None:
        numbers |= {f"decoder.rope_scaling.{key}": value for key, value in asdict(config.rope_scaling).items()}
    for key, value in numbers.items():
        if type(value) in (int, float):
            checked(file, key, type(value), value, *([_DEEPEST] if key == "decoder.n_layers" else []))
        elif isinstance(value, tuple) and any(not 0 <= layer < config.n_layers for layer in value):
            raise CheckpointError(f"{file}: {key} is {shown(value)}; the model has layers 0 to {config.n_layers - 1}")


def _first(error: ValidationError) -> str:
    """What is wrong, of the first key at fault; the value is the file's and may be long."""
    details = error.errors(include_url=False)[0]
    key = ".".join(map(str, details["loc"])) or "the whole"
    if details["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{shown(key)[1:-1]} is not a known setting; it may be of a newer version of Burnish"
    found = "" if details["type"].startswith("missing") else f", found {shown(details['input'])}"
    return f"{shown(key)[1:-1]}: {details['msg']}{found}"
