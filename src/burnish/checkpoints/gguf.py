"""GGUF files: one file with configuration, tokenizer and (quantized) tensors, as llama.cpp reads it.

Blocks are quantized and dequantized, and files written, by the `gguf` package. For some architectures llama.cpp rotates
neighbouring pairs of a head where Hugging Face and the decoder rotate halves, so the rows of their query and key
projections are reordered on the way in and out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray
from torch import Tensor

from burnish.checkpoints.families import Family, Weight, family_for
from burnish.checkpoints.gguf_file import GgufFile, StoredTensor
from burnish.checkpoints.gguf_settings import EMBEDDING, ROPE_FACTORS, read_settings, write_settings
from burnish.checkpoints.weights import assemble, check_finite, check_shape, check_vocabulary, weights_of
from burnish.errors import CheckpointError
from burnish.files import atomic_file
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.text.gguf_vocabulary import model_name, spaces_key
from burnish.text.tokenizer import Tokenizer

FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "BF16": LlamaFileType.MOSTLY_BF16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q5_1": LlamaFileType.MOSTLY_Q5_1,
    "Q5_0": LlamaFileType.MOSTLY_Q5_0,
    "Q4_1": LlamaFileType.MOSTLY_Q4_1,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
}
"""The number formats that can be written; all that the gguf package dequantizes can be read."""

# llama.cpp adds the rows of this one to activations and never quantizes it.
_POSITIONS = "position_embd.weight"


def read_config(file: GgufFile) -> tuple[Family, DecoderConfig]:
    """The family and sizes that the metadata state. Raises `CheckpointError` naming an unsupported or missing key."""
    return read_settings(file)


def read_state(file: GgufFile, family: Family, config: DecoderConfig) -> dict[str, Tensor]:
    """All tensors, dequantized to float32, under the decoder's names."""
    weights = list(family.expected_weights(config))
    known = {weight.gguf for weight in weights}
    if config.rope_scaling is not None and config.rope_scaling.kind == "llama3":
        known.add(ROPE_FACTORS)
    if extra := sorted(file.tensors.keys() - known):
        raise CheckpointError(
            f"{file.path}: tensor {extra[0]} is not part of a plain {family.model_type} model ({len(extra)} such "
            "tensors); this variant is not supported yet"
        )
    return assemble(weights, ((weight, _read_weight(file, weight)) for weight in weights))


def write(
    decoder: Decoder,
    tokenizer: Tokenizer,
    path: Path | str,
    *,
    quantization: str = "F16",
    name: str | None = None,
    context_length: int | None = None,
) -> None:
    """Writes a GGUF file that llama.cpp runs: matrices in `quantization`, norms and biases in float32.

    `quantization` is a key of `FILE_TYPES`; `name` is the model's name in the file, the file's own unless given. As
    llama.cpp does, a matrix whose rows are not a multiple of a format's block is stored as F16, and with 4 or 5 bits
    the output layer, which rounding harms most, as Q8_0.

    `context_length` is the longest text in tokens, if it shall be shorter than the model's. It must be no longer than
    a sliding window of an architecture in which llama.cpp computes none (Mistral, Qwen, SmolLM3, Phi-3).

    Raises `CheckpointError` for a model that llama.cpp does not compute.
    """
    path = Path(path)
    if quantization not in FILE_TYPES:
        raise CheckpointError(
            f"cannot write {path}: quantization {quantization!r} is not one of {', '.join(FILE_TYPES)}"
        )
    check_vocabulary(decoder, tokenizer)
    config, family = decoder.config, family_for(decoder.config)
    if context_length is not None:
        if not 0 < context_length <= config.max_positions or config.positions == "learned":
            raise CheckpointError(
                f"cannot write {path}: context_length is {context_length}, but must be above 0 and at most "
                f"{config.max_positions:,}, and cannot be changed where positions are learned"
            )
        config = replace(config, max_positions=context_length)
    settings, extra = write_settings(family, config, path)
    metadata: dict[str, Any] = {
        "general.name": model_name(name or path.stem, tokenizer.backend),
        **spaces_key(tokenizer.backend, family.gguf_architecture),
        "general.file_type": int(FILE_TYPES[quantization]),
        "general.quantization_version": 2,
        **settings,
        **tokenizer.to_gguf(config.vocab_size),
    }
    # A tied embedding is the output layer; the rows of another are only looked up.
    output = EMBEDDING if config.tie_embeddings else "output.weight"
    output_kind = "Q8_0" if quantization.startswith(("Q4", "Q5")) else quantization

    def tensors() -> Iterator[tuple[str, GGMLQuantizationType, Tensor]]:
        for key, tensor in extra.items():
            yield key, GGMLQuantizationType.F32, tensor
        for weight, tensor in weights_of(decoder, family):
            kind = _stored_kind(weight, output_kind if weight.gguf == output else quantization)
            yield weight.gguf, kind, _to_gguf_rows(weight, tensor)

    with atomic_file(path) as temporary:
        _write_file(temporary, metadata, tensors)


def _write_file(
    path: Path, metadata: Mapping[str, Any], tensors: Callable[[], Iterator[tuple[str, GGMLQuantizationType, Tensor]]]
) -> None:
    """Writes the file; `tensors` lists them anew at each call."""
    writer = GGUFWriter(path, metadata["general.architecture"])
    try:
        for key, value in metadata.items():
            if key != "general.architecture":
                _add_value(writer, key, value)
        for name, kind, tensor in tensors():
            block, size = GGML_QUANT_SIZES[kind]
            n_bytes = tensor.numel() // block * size
            writer.add_tensor_info(name, tuple(tensor.shape), np.dtype(np.float32), n_bytes, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        # One tensor at a time, so that writing needs no second copy of the model in memory.
        for _, kind, tensor in tensors():
            writer.write_tensor_data(quantize(tensor.numpy(), kind))
    finally:
        writer.close()


def _add_value(writer: GGUFWriter, key: str, value: Any) -> None:
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
    if len(weight.shape) == 1 or weight.gguf == _POSITIONS:
        return GGMLQuantizationType.F32
    kind = GGMLQuantizationType[quantization]
    return kind if weight.shape[-1] % GGML_QUANT_SIZES[kind][0] == 0 else GGMLQuantizationType.F16


def _from_gguf_rows(weight: Weight, tensor: Tensor) -> Tensor:
    """Rows of a rotary projection from neighbouring pairs to halves; other tensors as they are."""
    if weight.interleaved_heads is None:
        return tensor
    return tensor.unflatten(0, (weight.interleaved_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def _to_gguf_rows(weight: Weight, tensor: Tensor) -> Tensor:
    """The reverse of `_from_gguf_rows`."""
    if weight.interleaved_heads is None:
        return tensor.contiguous()
    return tensor.unflatten(0, (weight.interleaved_heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def _read_weight(file: GgufFile, weight: Weight) -> Tensor:
    stored = file.tensors.get(weight.gguf)
    if stored is None:
        raise CheckpointError(f"{file.path}: tensor {weight.gguf} is missing; the file is incomplete")
    check_shape(file.path, weight.gguf, stored.shape, weight.shape)
    tensor = torch.from_numpy(_values(file, stored)).reshape(weight.shape)
    check_finite(file.path, weight.gguf, tensor)
    return _from_gguf_rows(weight, tensor)


def _values(file: GgufFile, stored: StoredTensor) -> NDArray[np.float32]:
    """The numbers of a tensor, in memory of their own."""
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
            f"{file.path}: tensor {stored.name} is stored as {stored.kind.name}, which cannot be read; "
            "use a file in F16 or Q8_0"
        ) from None
    # float32 values are the file itself, mapped into memory
    return values if values.flags.writeable else values.copy()
