"""Model folders of Burnish's own: `burnish.json`, safetensors and the tokenizer, for models that no family can hold.

What the model has is what is written: `burnish.json` has every field of its configuration, and the weights and buffers
(BatchNorm's running statistics, WeightNorm's gains) have the model's own names, so that nothing is computed on the
way and a model comes back with the same bits. Both files are hostile input: validated, unknown keys refused, no pickle.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

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
from burnish.nn.config import DecoderConfig, EncoderDecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.text.tokenizer import Tokenizer

CONFIG_FILE = "burnish.json"
FORMAT = "burnish-decoder-1"
PAIR_FORMAT = "burnish-encoder-decoder-1"

_DEEPEST = 10_000
"""A damaged number of layers must not make us build modules for hours."""


class _Document(BaseModel):
    """What `burnish.json` holds. dtype: the number format of the weights; buffers stay float32."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    burnish: str
    dtype: Literal["float32", "bfloat16", "float16"]


class _DecoderDocument(_Document):
    format: Literal["burnish-decoder-1"]
    decoder: DecoderConfig


class _PairDocument(_Document):
    format: Literal["burnish-encoder-decoder-1"]
    encoder_decoder: EncoderDecoderConfig


_AnyDocument = TypeVar("_AnyDocument", bound=_Document)
_LOADERS = {
    FORMAT: "a decoder: an encoder-decoder is needed here (burnish.load reads it)",
    PAIR_FORMAT: "an encoder-decoder: a decoder is needed here (burnish.load_encoder_decoder reads it)",
}
_SHARED = "encoder.embedding.weight"
"""The decoder's embedding, where both sides have one: it is written once."""


def is_own(folder: Path) -> bool:
    """Whether a folder holds a model in this format."""
    return (folder / CONFIG_FILE).is_file()


def read_config(folder: Path) -> DecoderConfig:
    """The configuration in `burnish.json`. Raises `CheckpointError` naming the file and the key at fault."""
    config = _read(folder, FORMAT, _DecoderDocument).decoder
    _check_sizes(folder / CONFIG_FILE, "decoder", config)
    return config


def read_pair_config(folder: Path) -> EncoderDecoderConfig:
    """As `read_config`, of an encoder-decoder."""
    config = _read(folder, PAIR_FORMAT, _PairDocument).encoder_decoder
    for side in ("encoder", "decoder"):
        _check_sizes(folder / CONFIG_FILE, f"encoder_decoder.{side}", getattr(config, side))
    return config


def _read(folder: Path, expected: str, kind: type[_AnyDocument]) -> _AnyDocument:
    file = folder / CONFIG_FILE
    values = read_json(file)
    found = values.get("format")
    if isinstance(found, str) and found != expected and found in _LOADERS:
        raise CheckpointError(f"{file}: it is {_LOADERS[found]}")
    try:
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise CheckpointError(f"{file}: {_first(error)}") from error
    except ValueError as error:  # half a surrogate pair
        raise CheckpointError(f"{file}: {error}") from error


def read_state(folder: Path, config: DecoderConfig) -> dict[str, Tensor]:
    """Weights and buffers under the decoder's names. Raises `CheckpointError` for any that is missing or strange."""
    return _read_tensors(folder, _shapes(folder / CONFIG_FILE, lambda: Decoder(config)))


def read_pair_state(folder: Path, config: EncoderDecoderConfig) -> dict[str, Tensor]:
    """As `read_state`, of an encoder-decoder."""
    expected = _shapes(folder / CONFIG_FILE, lambda: EncoderDecoder(config))
    if not config.share_embedding:
        return _read_tensors(folder, expected)
    del expected[_SHARED]
    state = _read_tensors(folder, expected)
    return {**state, _SHARED: state[_SHARED.replace("encoder", "decoder")]}


def _read_tensors(folder: Path, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
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
    _write(
        decoder,
        tokenizer,
        folder,
        document={"format": FORMAT, "decoder": asdict(decoder.config)},
        check=read_config,
        card=card,
        generation={**special_ids(tokenizer, decoder.config.vocab_size), **(generation or {})},
        dtype=dtype or torch.float32,
    )


def write_pair(
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    card: str | None = None,
    generation: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a model folder that `burnish.load_encoder_decoder` reads back; arguments as for `burnish.save`."""
    check_vocabulary(model.decoder, tokenizer)
    for side in (model.encoder, model.decoder):
        check_no_adapters(side)
    _write(
        model,
        tokenizer,
        folder,
        document={"format": PAIR_FORMAT, "encoder_decoder": asdict(model.config)},
        check=read_pair_config,
        card=card,
        generation={**special_ids(tokenizer, model.config.decoder.vocab_size), **(generation or {})},
        dtype=dtype or torch.float32,
        repeated=[_SHARED] if model.config.share_embedding else [],
    )


def _write(
    model: nn.Module,
    tokenizer: Tokenizer,
    folder: Path | str,
    *,
    document: Mapping[str, Any],
    check: Callable[[Path], object],
    card: str | None,
    generation: Mapping[str, Any],
    dtype: torch.dtype,
    repeated: Sequence[str] = (),
) -> None:
    made_by = {"burnish": __version__, "dtype": str(dtype).removeprefix("torch.")}
    with atomic_folder(folder) as temporary:
        write_json(temporary / CONFIG_FILE, {**made_by, **document})
        # What could not be read again is not written.
        check(temporary)
        write_json(temporary / "generation_config.json", generation)
        tokenizer.save(temporary)
        if card is not None:
            (temporary / "README.md").write_text(card, encoding="utf-8")
        write_weights(((name, tensor) for name, tensor in _stored(model, dtype) if name not in repeated), temporary)


def _stored(model: nn.Module, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Each weight in `dtype` and each buffer as it is, on the CPU."""
    buffers = dict(model.named_buffers())
    for name, tensor in model.state_dict().items():
        yield name, tensor.detach().to("cpu", tensor.dtype if name in buffers else dtype)


def _shapes(file: Path, build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a model, which is not allocated."""
    try:
        with torch.device("meta"):
            return {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    except (RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{file}: no model can have these sizes ({str(error).splitlines()[0]})") from error


def _check_sizes(file: Path, where: str, config: DecoderConfig) -> None:
    """Refuses numbers that are not above 0, or too large for any model, and layers that are not there."""
    numbers = {f"{where}.{field.name}": getattr(config, field.name) for field in fields(config)}
    if config.rope_scaling is not None:
        numbers |= {f"{where}.rope_scaling.{key}": value for key, value in asdict(config.rope_scaling).items()}
    for key, value in numbers.items():
        if type(value) in (int, float):
            checked(file, key, type(value), value, *([_DEEPEST] if key == f"{where}.n_layers" else []))
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
