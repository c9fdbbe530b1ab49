"""Model folders whose matrices have 8 bits a weight and a scale for each row, as torchao makes them.

transformers, with torchao installed, and vLLM load them. Only the matrices of the layers are quantized: embedding and
output layer stay as they are, as transformers has it. Reading one needs no torchao: a weight is its integer, less the
row's zero point, times the row's scale.
"""

import importlib.util
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from burnish.checkpoints.families import Weight, family_for, write_settings
from burnish.checkpoints.weights import check_vocabulary, weights_of
from burnish.errors import BurnishError, CheckpointError
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

KEY = "quantization_config"
_PARTS = ("qdata", "scale", "zero_point")


def require_torchao() -> None:
    """Raise BurnishError where torchao is not installed."""
    if importlib.util.find_spec("torchao") is None:
        raise BurnishError("weights of 8 bits are made by torchao: pip install 'burnish[quantization]'")


def quantized(
    decoder: Decoder, tokenizer: Tokenizer, dtype: torch.dtype
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, str]]:
    """The settings, tensors and metadata of the files of a folder; what is not quantized is of `dtype`.

    Raises BurnishError where torchao is not installed, CheckpointError for a family that transformers leaves as it is.
    """
    require_torchao()
    check_vocabulary(decoder, tokenizer)
    family = family_for(decoder.config)
    if any(rule.layout == "transposed" for rule in family.layer_weights):
        raise CheckpointError(
            f"transformers keeps the matrices of {family.model_type} models in a class of their own, which torchao "
            "does not quantize; export a GGUF file instead"
        )
    with _quiet():
        from torchao.core.config import config_to_dict
        from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        config = Int8WeightOnlyConfig()
        state = {}
        for weight, tensor in weights_of(decoder, family):
            stored = weight.from_decoder(tensor).to(dtype)
            if _is_matrix_of_a_layer(weight):
                layer = nn.Linear(stored.shape[1], stored.shape[0], bias=False, device="meta")
                layer.weight = nn.Parameter(stored, requires_grad=False)
                quantize_(layer, config)
                stored = layer.weight.data
            state[weight.huggingface] = stored
        tensors, metadata = flatten_tensor_state_dict(state)
        settings = write_settings(family, decoder.config)
        settings[KEY] = {
            "quant_method": "torchao",
            "quant_type": {"default": config_to_dict(config)},
            "modules_to_not_convert": None,
            "include_input_output_embeddings": False,
            "untie_embedding_weights": False,
        }
    return settings, tensors, metadata


def understood(file: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a config.json without the quantization, where it is one that is read here; else as they are."""
    return {key: value for key, value in values.items() if key != KEY} if _is_int8(values.get(KEY)) else dict(values)


def gathered(values: Mapping[str, Any], homes: Mapping[str, Path]) -> dict[str, Path]:
    """Which file each tensor is in, where a quantized one counts by its own name and not by its parts'.

    values: the keys of the folder's config.json.
    """
    if not _is_int8(values.get(KEY)):
        return dict(homes)
    found = {}
    for name, file in homes.items():
        owner = next(
            (name.removesuffix(f"._weight_{part}") for part in _PARTS if name.endswith(f"._weight_{part}")), ""
        )
        found[f"{owner}.weight" if owner else name] = file
    return found


def read_matrix(opened: safe_open, file: Path, name: str, shape: tuple[int, ...]) -> Tensor | None:
    """The quantized tensor `name` of an open file as float32; None where its parts are not in the file.

    Raises CheckpointError where the parts do not fit each other or the shape.
    """
    prefix = f"{name.removesuffix('.weight')}._weight_"
    present = set(opened.keys())
    if f"{prefix}qdata" not in present:
        return None
    if missing := [part for part in _PARTS[:2] if prefix + part not in present]:
        raise CheckpointError(f"{file}: tensor {prefix}{missing[0]} is missing; the file is incomplete")
    parts = {part: opened.get_tensor(prefix + part) for part in _PARTS if prefix + part in present}
    rows = (shape[0], 1)
    for part, tensor in parts.items():
        wanted, kind = (shape, torch.int8) if part == "qdata" else (rows, torch.int8 if part == "zero_point" else None)
        if tuple(tensor.shape) != wanted or (tensor.dtype != kind if kind else not tensor.is_floating_point()):
            raise CheckpointError(
                f"{file}: tensor {prefix}{part} is {tensor.dtype} {list(tensor.shape)}; expected "
                f"{kind or 'floating point'} {list(wanted)}"
            )
    integers = parts["qdata"].to(torch.float32)
    if "zero_point" in parts:
        integers -= parts["zero_point"].to(torch.float32)
    return integers * parts["scale"].to(torch.float32)


def _is_int8(value: object) -> bool:
    """Whether a quantization_config is torchao's of 8 bits, a scale a row, with embeddings as they are."""
    if not isinstance(value, dict) or value.get("quant_method") != "torchao":
        return False
    kind = value.get("quant_type")
    default = kind.get("default") if isinstance(kind, dict) else None
    settings = default.get("_data") if isinstance(default, dict) else None
    if not isinstance(settings, dict) or not isinstance(default, dict):
        return False
    granularity = settings.get("granularity")
    return (
        default.get("_type") == "Int8WeightOnlyConfig"
        and settings.get("group_size") is None
        and isinstance(granularity, dict)
        and granularity.get("_type") == "PerRow"
    )


def _is_matrix_of_a_layer(weight: Weight) -> bool:
    return weight.name.startswith("blocks.") and len(weight.shape) == 2


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torchao's words, at its import, on kernels for graphics cards that are not there."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
