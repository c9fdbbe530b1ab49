"""Windows on the disk: safetensors files of bounded size, mapped into memory when they are read.

A file has `tokens`, in two bytes each where the vocabulary allows, and `lengths`, `documents` and `sources` of its
windows. How many files there are changes nothing of what is read.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from burnish.corpus.windows import Windows
from burnish.errors import DataError

SHARD_TOKENS = 1 << 26
"""Tokens of a file at most, unless a single window has more."""
FORMAT = "burnish-windows-1"


def write_windows(windows: Windows, folder: Path, *, vocab_size: int, shard_tokens: int = SHARD_TOKENS) -> None:
    """Write windows into a new folder as `00000.safetensors` and so on; at least one file.

    Equal windows are equal files.
    """
    folder.mkdir(parents=True)
    kind = np.uint16 if vocab_size <= 1 << 16 else np.int32
    facts = {"n_documents": windows.n_documents, "source_names": windows.source_names}
    for number, (start, end) in enumerate(_parts(windows, shard_tokens)):
        tensors = {
            "tokens": windows.tokens(start, end).astype(kind),
            "lengths": windows.lengths[start:end],
            "documents": windows.documents[start:end],
            "sources": windows.sources[start:end],
        }
        # One key only: safetensors writes several in random order, and equal corpora must be equal files.
        metadata = {FORMAT: json.dumps(facts if number == 0 else {})}
        save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, _file(folder, number), metadata)


def read_windows(folder: Path) -> Windows:
    """Map what `write_windows` wrote. Raises DataError where a file is missing, damaged or something else."""
    files = sorted(folder.glob("*.safetensors"))
    if [file.name for file in files] != [_file(folder, number).name for number in range(max(len(files), 1))]:
        raise DataError(f"{folder}: one of its files is missing; run the corpus stage again")
    parts = [_read(file) for file in files]
    facts = parts[0].pop("facts")
    sources = np.concatenate([part["sources"] for part in parts])
    return Windows(
        [part["tokens"] for part in parts],
        np.concatenate([part["lengths"] for part in parts]),
        np.concatenate([part["documents"] for part in parts]),
        int(facts["n_documents"]),
        sources,
        tuple(facts["source_names"]),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        # As tensors of PyTorch, which are views of the file; those of NumPy would be copies.
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if FORMAT not in metadata:
                raise DataError(f"{path}: not a corpus written by this version; run the corpus stage again")
            found: dict[str, Any] = {key: file.get_tensor(key).numpy() for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the corpus stage again") from error
    if int(found["lengths"].sum()) != len(found["tokens"]):
        raise DataError(f"{path}: its windows do not add up to its tokens; run the corpus stage again")
    return found | {"facts": json.loads(metadata[FORMAT])}


def _parts(windows: Windows, shard_tokens: int) -> list[tuple[int, int]]:
    """The windows of each file: first, and one behind the last."""
    parts, start, size = [], 0, 0
    for index, length in enumerate(windows.lengths.tolist()):
        if index > start and size + length > shard_tokens:
            parts.append((start, index))
            start, size = index, 0
        size += length
    return [*parts, (start, len(windows))]


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.safetensors"
