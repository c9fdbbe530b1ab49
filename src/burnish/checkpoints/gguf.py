"""GGUF files: one file with configuration, tokenizer and (quantized) tensors, as llama.cpp reads it.

- The header is parsed here: gguf's own reader takes five seconds for a vocabulary of 49,152, this one a tenth, and
  it can name what is wrong with a damaged file. Blocks are (de)quantized, and files written, by the `gguf` package.
- llama.cpp rotates neighbouring pairs of a head where Hugging Face and the decoder rotate halves, so the rows of the query
  and key projections are reordered on the way in and out.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray
from torch import Tensor

from burnish.checkpoints.families import Family, Weight, build_config, check_fixed, find_family
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig
from burnish.text.tokenizer import Tokenizer

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor of a GGUF file: `data` is its bytes `[rows, bytes a row]`, `shape` that of the values."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    data: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class GgufFile:
    """The parsed header of a GGUF file and its tensors, still on disk."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]


def open_gguf(path: Path | str) -> GgufFile:
    """Parses a GGUF file (version 2 or 3). Raises `CheckpointError` for a damaged or foreign file."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise CheckpointError(f"cannot read {path}: {error}") from error
    header = _Header(path, content)
    if content[:4] != b"GGUF":
        raise CheckpointError(f"{path} is not a GGUF file: it begins with {content[:4]!r}")
    header.position = 4
    version = header.number("I")
    if version not in (2, 3):
        raise CheckpointError(
            f"{path} has GGUF version {version}; versions 2 and 3 are supported. Convert it again with a current llama.cpp"
        )
    n_tensors, n_keys = header.number("Q"), header.number("Q")
    metadata = {header.string(): header.value(header.number("I")) for _ in range(header.count(n_keys))}
    if metadata.get("split.count", 0) > 1:
        raise CheckpointError(f"{path} is one of {metadata['split.count']} parts; join them with llama-gguf-split --merge")
    infos = [header.tensor_info() for _ in range(header.count(n_tensors))]
    alignment = metadata.get("general.alignment", 32)
    start = math.ceil(header.position / alignment) * alignment
    return GgufFile(
        path=path,
        metadata=metadata,
        tensors={name: _stored(path, content, start, name, *info) for name, *info in infos},
    )


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


def read_tokenizer(file: GgufFile) -> Tokenizer:
    """The tokenizer that the metadata describe."""
    return Tokenizer.from_gguf(file.metadata, file.path)


def _read_weight(file: GgufFile, weight: Weight) -> Tensor:
    stored = file.tensors.get(weight.gguf)
    if stored is None:
        raise CheckpointError(f"{file.path}: tensor {weight.gguf} is missing; the file is incomplete")
    if stored.shape != weight.shape:
        raise CheckpointError(
            f"{file.path}: tensor {weight.gguf} has shape {list(stored.shape)}, expected {list(weight.shape)}"
        )
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
    tensor = torch.tensor(values, dtype=torch.float32).reshape(weight.shape)
    if not torch.isfinite(tensor.sum()):
        raise CheckpointError(f"{file.path}: tensor {weight.gguf} holds values that are not finite; the file is damaged")
    if weight.interleaved_heads is not None:
        pairs = tensor.reshape(weight.interleaved_heads, -1, 2, weight.shape[1])
        tensor = pairs.transpose(1, 2).reshape(weight.shape)
    return tensor


def _stored(
    path: Path, content: mmap.mmap, start: int, name: str, shape: tuple[int, ...], kind: int, offset: int
) -> StoredTensor:
    try:
        known = GGMLQuantizationType(kind)
    except ValueError:
        raise CheckpointError(
            f"{path}: tensor {name} has the unknown type {kind}; a newer gguf package may know it"
        ) from None
    block, size = GGML_QUANT_SIZES[known]
    if shape[-1] % block:
        raise CheckpointError(f"{path}: tensor {name} has rows of {shape[-1]} values, not a multiple of {block}")
    row = shape[-1] // block * size
    rows = math.prod(shape[:-1])
    if start + offset + rows * row > len(content):
        raise CheckpointError(
            f"{path} is truncated: tensor {name} ends at byte {start + offset + rows * row:,} of {len(content):,}; "
            "download or copy the file again"
        )
    data = np.frombuffer(content, np.uint8, rows * row, start + offset).reshape(rows, row)
    return StoredTensor(name=name, shape=shape, kind=known, data=data)


class _Header:
    """Reads the header's values one after the other."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self.path = path
        self.content = content
        self.position = 0

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.content):
            raise CheckpointError(f"{self.path} is truncated or damaged: its header reaches beyond the file's end")
        taken = self.content[self.position : end]
        self.position = end
        return taken

    def count(self, n: int) -> int:
        """A number of entries, each at least a byte: a damaged one must not make us loop for hours."""
        if n > len(self.content):
            raise CheckpointError(f"{self.path} is damaged: its header announces {n:,} entries")
        return n

    def number(self, form: str) -> Any:
        value = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]
        # 1e-5 as float32 is 9.999999747378752e-06 as a Python float; its shortest decimal is what was meant.
        return float(str(np.float32(value))) if form == "f" else value

    def string(self) -> str:
        try:
            return self.take(int.from_bytes(self.take(8), "little")).decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path} is damaged: a text of its header is not UTF-8") from error

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.array()
        if kind not in _SCALARS:
            raise CheckpointError(f"{self.path} is damaged: its header has a value of the unknown kind {kind}")
        return self.number(_SCALARS[kind])

    def array(self) -> list[Any]:
        kind, n = self.number("I"), self.count(self.number("Q"))
        if kind in _SCALARS:
            item = np.dtype(_SCALARS[kind]).newbyteorder("<")
            return np.frombuffer(self.take(n * item.itemsize), item).tolist()  # type: ignore[no-any-return]
        return [self.value(kind) for _ in range(n)]

    def tensor_info(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape (GGUF stores the fastest dimension first), type and offset of one tensor."""
        name = self.string()
        n_dimensions = self.number("I")
        if not 1 <= n_dimensions <= 4:
            raise CheckpointError(f"{self.path} is damaged: tensor {name} has {n_dimensions} dimensions")
        shape = tuple(reversed([self.number("Q") for _ in range(n_dimensions)]))
        return name, shape, self.number("I"), self.number("Q")
