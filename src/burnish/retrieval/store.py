"""An index on disk: a folder of its own, every file of it named with its SHA-256 in `index.json`.

    index.json           version, settings, the encoder, and the SHA-256 of every other file
    texts.txt            the documents' texts, one behind the other, in UTF-8
    documents.jsonl      source, licence and place in `texts.txt` of each
    headings.json        the different headings
    passages.safetensors document, place and heading of each passage
    vocabulary.json      the terms of BM25
    terms.safetensors    their weights

Texts are mapped, not read, so that an index opens as fast whatever it holds; nothing in it is ever executed.
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
TEXTS_FILE = "texts.txt"
DOCUMENTS_FILE = "documents.jsonl"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document of the index: where it comes from, and its bytes in the file of texts."""

    source: str
    start: int
    end: int
    sha256: str
    licence: str | None = None


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
        return self._bytes[start:end].decode("utf-8")


class Writer:
    """A new index, which takes the place of `folder` once it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums: dict[str, str] = {}

    def json(self, name: str, value: Any) -> None:
        """Write a value as JSON."""
        self._written(name, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def lines(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as JSON lines."""
        self._written(name, "".join(json.dumps(row) + "\n" for row in rows).encode())

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

    def has(self, name: str) -> bool:
        """Whether the index has a file of the name."""
        return name in self.header["files"]

    def json(self, name: str) -> Any:
        """The value of a JSON file."""
        return json.loads(self._checked(name).read_bytes().decode("utf-8", "surrogatepass"))

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The rows of a file of JSON lines."""
        return [json.loads(line) for line in self._checked(name).read_bytes().splitlines()]

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
