"""GGUF files: one file with configuration, tokenizer and (quantized) tensors, as llama.cpp reads it.

Blocks are quantized and dequantized, and files written, by the `gguf` package. llama.cpp rotates neighbouring pairs of
a head where Hugging Face and the decoder rotate halves, so the rows of the query and key projections are reordered
on the way in and out.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quantize
from torch import Tensor

from burnish.checkpoints.families import LLAMA, Family, Weight, build_config, check_fixed, find_family
from burnish.checkpoints.gguf_file import GgufFile
from burnish.checkpoints.weights import check_finite, check_shape, check_vocabulary, weights_of
from burnish.errors import CheckpointError
from burnish.files import atomic_file
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
}


def read_config(file: GgufFile) -> tuple[Family, DecoderConfig]:
    """The family and sizes that the metadata state. Raises `CheckpointError` naming an unsupported or missing key."""
    metadata, path = file.metadata, file.path
    family = find_family(path, "general.architecture", metadata.get("general.architecture"))
    prefix = f"{family.gguf_architecture}."
    check_fixed(path, metadata, family.gguf_fixed, prefix)
    fields = {field: (prefix + key, metadata.get(prefix + key)) for field, key in family.gguf_keys.items()}
    embedding = next(rule.gguf for rule in family.weights if rule.name == "embedding.weight")
    if embedding not in file.tensors:
        raise CheckpointError(f"{path}: tensor {embedding} is missing; the file is incomplete")
    fields["vocab_size"] = (embedding, file.tensors[embedding].shape[0])
    tied = all(rule.gguf not in file.tensors for rule in family.untied_weights)
    fields["tie_embeddings"] = ("tied embeddings", tied)
    config = build_config(path, fields, family.defaults)
    for key in ("rope.dimension_count", "attention.value_length"):
        if (value := metadata.get(prefix + key, config.head_dim)) != config.head_dim:
            raise CheckpointError(
                f"{path}: {prefix}{key} is {value}, but a head has {config.head_dim} dimensions; "
                "heads that are rotated in part are not supported"
            )
    return family, config


def read_state(file: GgufFile, family: Family, config: DecoderConfig) -> dict[str, Tensor]:
    """All tensors, dequantized to float32, under the decoder's names."""
    weights = list(family.expected_weights(config))
    if extra := sorted(file.tensors.keys() - {weight.gguf for weight in weights}):
        raise CheckpointError(
            f"{file.path}: tensor {extra[0]} is not part of a plain {family.model_type} model ({len(extra)} such "
            "tensors); this variant is not supported yet"
        )
    return {weight.name: _read_weight(file, weight) for weight in weights}


def write(
    decoder: Decoder,
    tokenizer: Tokenizer,
    path: Path | str,
    *,
    quantization: str = "F16",
    name: str | None = None,
) -> None:
    """Writes a GGUF file that llama.cpp runs: matrices in `quantization`, norms in float32.

    `quantization` is F32, F16 or Q8_0; `name` is the model's name in the file, the file's own unless given. A
    matrix whose rows are not a multiple of Q8_0's 32 values is stored as F16, as llama.cpp does.
    """
    path = Path(path)
    if quantization not in _FILE_TYPES:
        raise CheckpointError(
            f"cannot write {path}: quantization {quantization!r} is not one of {', '.join(_FILE_TYPES)}"
        )
    check_vocabulary(decoder, tokenizer)
    with atomic_file(path) as temporary:
        writer = GGUFWriter(temporary, LLAMA.gguf_architecture)
        try:
            _add_metadata(writer, decoder.config, tokenizer, quantization, name or path.stem)
            kinds = []
            for weight, tensor in weights_of(decoder):
                kinds.append(_stored_kind(weight, quantization))
                block, size = GGML_QUANT_SIZES[kinds[-1]]
                writer.add_tensor_info(
                    weight.gguf,
                    weight.shape,
                    np.dtype(np.float16 if kinds[-1] == GGMLQuantizationType.F16 else np.float32),
                    tensor.numel() // block * size,
                    raw_dtype=kinds[-1],
                )
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            # One tensor at a time, so that writing needs no second copy of the model in memory.
            for kind, (weight, tensor) in zip(kinds, weights_of(decoder), strict=True):
                writer.write_tensor_data(quantize(_to_gguf_rows(weight, tensor).numpy(), kind))
        finally:
            writer.close()


def _add_metadata(
    writer: GGUFWriter, config: DecoderConfig, tokenizer: Tokenizer, quantization: str, name: str
) -> None:
    prefix = f"{LLAMA.gguf_architecture}."
    metadata: dict[str, Any] = {
        "general.name": name,
        "general.file_type": int(_FILE_TYPES[quantization]),
        "general.quantization_version": 2,
        **{prefix + key: getattr(config, field) for field, key in LLAMA.gguf_keys.items()},
        prefix + "attention.value_length": config.head_dim,
        prefix + "rope.dimension_count": config.head_dim,
        prefix + "vocab_size": config.vocab_size,
        **tokenizer.to_gguf(config.vocab_size),
    }
    for key, value in metadata.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)


def _stored_kind(weight: Weight, quantization: str) -> GGMLQuantizationType:
    if len(weight.shape) == 1:
        return GGMLQuantizationType.F32
    kind = GGMLQuantizationType[quantization]
    return kind if weight.shape[-1] % GGML_QUANT_SIZES[kind][0] == 0 else GGMLQuantizationType.F16


def _from_gguf_rows(weight: Weight, tensor: Tensor) -> Tensor:
    """Rows of a rotary projection from neighbouring pairs to halves; other tensors as they are."""
    if weight.interleaved_heads is None:
        return tensor
    pairs = tensor.reshape(weight.interleaved_heads, -1, 2, weight.shape[1])
    return pairs.transpose(1, 2).reshape(weight.shape)


def _to_gguf_rows(weight: Weight, tensor: Tensor) -> Tensor:
    """The reverse of `_from_gguf_rows`."""
    if weight.interleaved_heads is None:
        return tensor
    halves = tensor.reshape(weight.interleaved_heads, 2, -1, weight.shape[1])
    return halves.transpose(1, 2).reshape(weight.shape)


def _read_weight(file: GgufFile, weight: Weight) -> Tensor:
    stored = file.tensors.get(weight.gguf)
    if stored is None:
        raise CheckpointError(f"{file.path}: tensor {weight.gguf} is missing; the file is incomplete")
    check_shape(file.path, weight.gguf, stored.shape, weight.shape)
    data = stored.data
    if stored.kind not in (GGMLQuantizationType.F32, GGMLQuantizationType.F16) and len(data) % 32 == 0:
        # gguf works on 16 rows at a time, which costs more in Python than in numpy when rows are short; blocks do
        # not cross rows, so 32 rows may as well be one.
        data = data.reshape(len(data) // 32, -1)
    try:
        with np.errstate(all="ignore"):
            values = dequantize(data, stored.kind)
    except NotImplementedError:
        raise CheckpointError(
            f"{file.path}: tensor {weight.gguf} is stored as {stored.kind.name}, which cannot be read; "
            "use a file in F16 or Q8_0"
        ) from None
    if not values.flags.writeable:  # float32 values are the file itself, mapped into memory
        values = values.copy()
    tensor = torch.from_numpy(values).reshape(weight.shape)
    check_finite(file.path, weight.gguf, tensor)
    return _from_gguf_rows(weight, tensor)
