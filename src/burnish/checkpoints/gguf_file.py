"""The GGUF container: key-value metadata and tensors that stay on disk until they are asked for.

The header is parsed here because gguf's own reader takes seconds for a vocabulary of 49,152 tokens, this one a tenth of
one, and can name what is wrong with a damaged file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from burnish.checkpoints.weights import reading
from burnish.errors import CheckpointError
from burnish.files import open_regular

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

_MOST_ENTRIES = 2**24
"""A list of a header, of which the vocabulary's are the longest, becomes one of Python's."""


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
    """Parses a GGUF file (version 2 or 3). Raises `CheckpointError` for a damaged or foreign file.

    Tensors must lie one behind the other, as llama.cpp demands: a file of which two share bytes, or leave some out, was
    damaged or made to deceive.
    """
    path = Path(path)
    try:
        with reading(), open_regular(path) as file:
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
            f"{path} has GGUF version {version}; 2 and 3 are supported. Convert it again with a current llama.cpp"
        )
    n_tensors, n_keys = header.number("Q"), header.number("Q")
    metadata: dict[str, Any] = {}
    for _ in range(header.count(n_keys)):
        key = header.string()
        if key in metadata:
            raise CheckpointError(f"{path} is damaged: its header has the key {key} twice")
        metadata[key] = header.value(header.number("I"))
    if metadata.get("split.count", 0) not in (0, 1):
        raise CheckpointError(
            f"{path} is one of {metadata['split.count']} parts; join them with llama-gguf-split --merge"
        )
    infos = [header.tensor_info() for _ in range(header.count(n_tensors))]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise CheckpointError(f"{path} is damaged: general.alignment is {alignment!r}, not a power of two")
    start = -(-header.position // alignment) * alignment
    tensors: dict[str, StoredTensor] = {}
    expected = 0
    for info in infos:
        if info.name in tensors:
            raise CheckpointError(f"{path} is damaged: it has two tensors of the name {info.name}")
        if info.offset != expected:
            raise CheckpointError(
                f"{path} is damaged: tensor {info.name} is said to begin at byte {info.offset:,} of the weights, but "
                f"the tensors before it end at {expected:,}"
            )
        tensors[info.name] = _stored(path, content, start, info)
        expected += -(-tensors[info.name].data.nbytes // alignment) * alignment
    return GgufFile(path=path, metadata=metadata, tensors=tensors)


class _TensorInfo(NamedTuple):
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


def _stored(path: Path, content: mmap.mmap, start: int, info: _TensorInfo) -> StoredTensor:
    name, shape, kind, offset = info
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

    def entries(self, n: int, size: int) -> int:
        """A number of entries of an array, each at least `size` bytes."""
        if n > _MOST_ENTRIES or n * size > len(self.content) - self.position:
            raise CheckpointError(f"{self.path} is truncated or damaged: its header announces a list of {n:,} entries")
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
        kind, n = self.number("I"), self.number("Q")
        if kind in _SCALARS:
            item = np.dtype(_SCALARS[kind]).newbyteorder("<")
            size = self.entries(n, item.itemsize) * item.itemsize
            values: list[Any] = np.frombuffer(self.take(size), item).tolist()
            return values
        if kind != _STRING:
            what = "lists, which llama.cpp does not read either" if kind == _ARRAY else f"the unknown kind {kind}"
            raise CheckpointError(f"{self.path} is damaged: its header has a list of {what}")
        return [self.string() for _ in range(self.entries(n, 8))]

    def tensor_info(self) -> _TensorInfo:
        """Name, shape (GGUF stores the fastest dimension first), type and offset of one tensor."""
        name = self.string()
        n_dimensions = self.number("I")
        if not 1 <= n_dimensions <= 4:
            raise CheckpointError(f"{self.path} is damaged: tensor {name} has {n_dimensions} dimensions")
        shape = tuple(reversed([self.number("Q") for _ in range(n_dimensions)]))
        return _TensorInfo(name, shape, self.number("I"), self.number("Q"))
