"""Windows on the disk: safetensors files of bounded size, mapped into memory when they are read.

A file has `tokens`, in two bytes each where the vocabulary allows, and `lengths`, `documents` and `sources` of its
windows. How many files there are changes nothing of what is read.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from burnish.corpus.windows import Windows
from burnish.errors import DataError

SHARD_TOKENS = 1 << 23
"""Tokens of a file at most, unless a single window has more; so many are in memory while it is written."""
FORMAT = "burnish-windows-1"


class WindowsWriter:
    """Writes windows into a new folder as `00000.safetensors` and so on, at least one file, whatever their number.

    Equal windows are equal files. n_documents, source_names: of all windows, as in `Windows`; known before.
    """

    def __init__(
        self,
        folder: Path,
        *,
        vocab_size: int,
        n_documents: int,
        source_names: tuple[str, ...] = (),
        shard_tokens: int = SHARD_TOKENS,
    ) -> None:
        folder.mkdir(parents=True)
        self._folder, self._shard_tokens = folder, shard_tokens
        self._kind = np.uint16 if vocab_size <= 1 << 16 else np.int32
        self._facts: dict[str, Any] = {"n_documents": n_documents, "source_names": source_names}
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self._tokens: list[npt.NDArray[Any]] = []
        self._size = 0
        self._known: dict[str, list[int]] = {"lengths": [], "documents": [], "sources": []}

    def add(self, tokens: npt.NDArray[np.integer], lengths: Sequence[int], document: int, source: int | None) -> None:
        """Add windows of these lengths, `tokens` together, all of one document and source; None for no source."""
        start = 0
        for length in lengths:
            if self._known["lengths"] and self._size + length > self._shard_tokens:
                self._flush()
            self._tokens.append(tokens[start : start + length].astype(self._kind))
            self._size += length
            self._known["lengths"].append(length)
            self._known["documents"].append(document)
            if source is not None:
                self._known["sources"].append(source)
            start += length

    def close(self) -> None:
        """Write what is left."""
        if self._known["lengths"] or not self._number:
            self._flush()

    def _flush(self) -> None:
        tensors = {"tokens": np.concatenate([np.zeros(0, self._kind), *self._tokens])}
        tensors |= {name: np.array(values, dtype=np.int32) for name, values in self._known.items()}
        # One key only: safetensors writes several in random order, and equal corpora must be equal files.
        metadata = {FORMAT: json.dumps({} if self._number else self._facts)}
        self._begin()
        save_file(tensors, _file(self._folder, self._number), metadata)
        self._number += 1


def write_windows(windows: Windows, folder: Path, *, vocab_size: int, shard_tokens: int = SHARD_TOKENS) -> None:
    """Write windows into a new folder as `WindowsWriter` does."""
    writer = WindowsWriter(
        folder,
        vocab_size=vocab_size,
        n_documents=windows.n_documents,
        source_names=windows.source_names,
        shard_tokens=shard_tokens,
    )
    for number, (length, document) in enumerate(zip(windows.lengths.tolist(), windows.documents.tolist(), strict=True)):
        source = int(windows.sources[number]) if len(windows.sources) else None
        writer.add(windows.tokens(number, number + 1), [length], document, source)
    writer.close()


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


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.safetensors"
