"""An index on disk: a folder of its own, every file of it named with its SHA-256 in `index.json`.

    index.json           version, settings, the encoder, and the SHA-256 of every other file
    texts.utf8           the documents' texts, one behind the other
    documents.json       source, licence and place in `texts.utf8` of each
    headings.json        the different headings
    passages.safetensors document, place and heading of each passage
    vocabulary.json      the terms of BM25
    terms.safetensors    their weights
    vectors.safetensors  the vectors of passages, where an encoder has made some
    entities.json        what passages name, where they are linked by it
    links.safetensors    which passage names what

Texts are mapped, not read; nothing is ever executed. No file is called as documents are: an index that lies among its
documents does not become one of them.
"""

import hashlib
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from burnish.errors import BurnishError
from burnish.files import atomic_folder, open_regular, sha256
from burnish.kept import read_json, write_json

FORMAT = 1
INDEX_FILE = "index.json"
TEXTS_FILE = "texts.utf8"
DOCUMENTS_FILE = "documents.json"
HEADINGS_FILE = "headings.json"
PASSAGES_FILE = "passages.safetensors"
VOCABULARY_FILE = "vocabulary.json"
TERMS_FILE = "terms.safetensors"
VECTORS_FILE = "vectors.safetensors"
ENTITIES_FILE = "entities.json"
LINKS_FILE = "links.safetensors"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document of the index: where it comes from, and its bytes in the file of texts."""

    source: str
    start: int
    end: int
    sha256: str
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class PassageTable:
    """Where each passage stands: `[n]` its document, its bytes in the file of texts, its heading."""

    documents: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    headings: NDArray[np.int32]

    @classmethod
    def of(cls, places: Sequence[tuple[int, int, int, int]]) -> Arrays:
        """The arrays of passages, each given by its document, bytes and heading."""
        types = {"documents": np.int32, "starts": np.int64, "ends": np.int64, "headings": np.int32}
        columns = zip(*places, strict=True)
        return {name: np.array(column, dtype=types[name]) for name, column in zip(types, columns, strict=True)}

    def check(self, n_documents: int, n_bytes: int, n_headings: int) -> None:
        """Raise ValueError where a passage stands where nothing is."""
        n = {len(self.documents), len(self.starts), len(self.ends), len(self.headings)}
        places = ((self.documents, n_documents), (self.headings, n_headings), (self.starts, n_bytes))
        if len(n) != 1 or 0 in n or any(array.min() < 0 or array.max() >= end for array, end in places):
            raise ValueError("passages that stand nowhere")
        if (self.ends <= self.starts).any() or self.ends.max() > n_bytes or (np.diff(self.documents) < 0).any():
            raise ValueError("passages out of order")

    def __len__(self) -> int:
        return len(self.documents)


class Texts:
    """The file of texts, mapped into memory."""

    def __init__(self, file: Path) -> None:
        with open_regular(file) as opened:
            empty = not opened.peek(1)
            self._bytes: bytes | mmap.mmap = b"" if empty else mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._bytes)

    def __call__(self, start: int, end: int) -> str:
        """The text in the bytes `start` to `end`."""
        return self._bytes[start:end].decode("utf-8", "replace")


class Writer:
    """A new index, which takes the place of `folder` once it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums: dict[str, str] = {}

    def json(self, name: str, value: Any) -> None:
        """Write a value as JSON."""
        self._written(name, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays as safetensors."""
        file = self._folder / name
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, file)
        self._sums[name] = sha256(file)

    def texts(self, name: str, texts: Iterator[bytes]) -> None:
        """Write texts one behind the other."""
        digest = hashlib.sha256()
        with (self._folder / name).open("wb") as file:
            for text in texts:
                digest.update(text)
                file.write(text)
        self._sums[name] = digest.hexdigest()

    def _written(self, name: str, data: bytes) -> None:
        (self._folder / name).write_bytes(data)
        self._sums[name] = hashlib.sha256(data).hexdigest()

    def finish(self, header: Mapping[str, Any]) -> None:
        """Write `index.json`, which names all other files."""
        write_json(self._folder / INDEX_FILE, {"format": FORMAT, **header, "files": self._sums})


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """A new index in place of that in `folder`, once the block has ended without an exception.

    Raises BurnishError where the folder holds something else, which is left alone.
    """
    check_replaceable(folder)
    with atomic_folder(folder) as temporary:
        yield Writer(temporary)


def check_replaceable(folder: Path) -> None:
    """Raise BurnishError where an index written to `folder` would take the place of something else."""
    if folder.is_dir():
        if not (folder / INDEX_FILE).is_file() and any(folder.iterdir()):
            raise BurnishError(f"{folder}: there is a folder that is no index (no {INDEX_FILE}); name another one")
    elif folder.exists():
        raise BurnishError(f"{folder}: there is a file of that name; name another folder for the index")


class Reader:
    """The files of an index, each checked by its SHA-256 when it is read.

    Raises BurnishError where the folder is no index, is of another version, or is not what was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = folder / INDEX_FILE
        if not folder.is_dir():
            there = "is no folder" if folder.exists() else "there is no such folder"
            raise BurnishError(f"{folder}: {there}; an index is made by `burnish index DOCUMENTS --out {folder}`")
        if not file.is_file():
            raise BurnishError(
                f"{folder}: no index (no {INDEX_FILE}); one is made by `burnish index DOCUMENTS --out FOLDER`"
            )
        header = read_json(file)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            found = header.get("format") if isinstance(header, dict) else None
            raise BurnishError(
                f"{file}: an index of format {found}, written by another version of Burnish; this one reads "
                f"{FORMAT}: make it anew with `burnish index DOCUMENTS --out {folder}`"
            )
        self.header: dict[str, Any] = header

    def json(self, name: str) -> Any:
        """The value of a JSON file."""
        return json.loads(self._checked(name).read_bytes().decode("utf-8", "surrogatepass"))

    def arrays(self, name: str) -> Arrays:
        """The arrays of a safetensors file."""
        file = self._checked(name)
        try:
            return dict(load_file(file))
        except SafetensorError as error:
            raise BurnishError(f"{file}: cannot be read ({error})") from error

    def texts(self, name: str) -> Texts:
        """The file of texts."""
        return Texts(self._checked(name))

    def _checked(self, name: str) -> Path:
        file = self.folder / name
        if not file.exists():
            raise BurnishError(f"{file}: is missing; copy the index again, or make it anew")
        if sha256(file) != self.header["files"].get(name):
            raise BurnishError(
                f"{file}: its content is not what was written (its SHA-256 differs); copy the index again, "
                "or make it anew"
            )
        return file
