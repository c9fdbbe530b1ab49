"""The lab's text: bytes that are on every machine, or a file of the user's.

The vocabulary is the 256 bytes; byte 0, which no text holds, starts a document.
"""

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from burnish.errors import DataError
from burnish.files import reported

VOCAB_SIZE = 256
START = 0
"""The byte before every document."""

STANDARD_LIBRARY = "Python's standard library"
"""What the text is called where no file is given."""

_HELDOUT = 1 / 16
_MIN_BYTES = 65_536
_PART_BYTES = 4_096
"""The user's file is cut into parts of about this size, at blank lines, and a hash of each decides its side."""

Tokens = npt.NDArray[np.uint8] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabText:
    """Two sides of a text, `train` and `heldout`, documents one behind the other; and where it comes from.

    Bytes, each document after a START; or the tokens of a checkpoint's tokenizer.
    """

    train: Tokens
    heldout: Tokens
    source: str

    @property
    def identity(self) -> str:
        """A hash of both sides: experiments on other text do not go on from each other."""
        return hashlib.sha256(self.train.tobytes() + b"\xff" + self.heldout.tobytes()).hexdigest()[:16]

    def windows(self, length: int, *, heldout: bool = False) -> npt.NDArray[np.int64]:
        """The side cut into sequences, `[n, length]`; the rest that fills none is left out.

        Raises DataError where there is not one.
        """
        side = self.heldout if heldout else self.train
        count = len(side) // length
        if count == 0:
            name = "held-out" if heldout else "training"
            raise DataError(
                f"{self.source}: its {name} text of {len(side)} tokens is shorter than one sequence of {length}"
            )
        return side[: count * length].reshape(count, length).astype(np.int64)


def load_text(file: Path | None = None) -> LabText:
    """The text of `file` (UTF-8), or the documentation and source of Python's standard library.

    A hash of each document decides its side, so that the split never depends on order. Raises DataError for a file
    that is not text, or too short to hold anything out.
    """
    documents = list(read_documents(file))
    sides: dict[bool, list[bytes]] = {False: [], True: []}
    for document in documents:
        first = int.from_bytes(hashlib.sha256(document).digest()[:4], "big")
        sides[first < _HELDOUT * 2**32].append(bytes([START]) + document)
    source = str(file) if file else STANDARD_LIBRARY
    if not sides[True] or not sides[False]:
        raise DataError(f"{source}: all of its {len(documents)} parts fell on one side; give a longer text")
    train, heldout = (np.frombuffer(b"".join(sides[side]), dtype=np.uint8) for side in (False, True))
    return LabText(train, heldout, source)


def read_documents(file: Path | None = None) -> Iterator[bytes]:
    """The documents of `load_text`, each as it stands. Raises DataError as that does."""
    return _of_file(file) if file else _of_standard_library()


def _of_standard_library() -> Iterator[bytes]:
    """The language reference first, without what its pages repeat; then the modules' sources by name."""
    from pydoc_data.topics import topics

    known: set[str] = set()
    for _, page in sorted(topics.items()):
        paragraphs = [part for part in page.split("\n\n") if part not in known]
        known.update(paragraphs)
        if text := "\n\n".join(paragraphs).strip():
            yield text.encode()
    for module in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        with reported("read", module):
            source = module.read_bytes()
        if source and START not in source:
            yield source


def _of_file(file: Path) -> Iterator[bytes]:
    with reported("read", file):
        content = file.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text (byte {error.start}); give a plain text file") from None
    if START in content:
        raise DataError(f"{file}: holds a zero byte (byte {content.index(START)}); give a plain text file")
    if len(content) < _MIN_BYTES:
        raise DataError(f"{file}: {len(content):,} bytes; the lab needs at least {_MIN_BYTES:,} to learn from")
    part = b""
    for paragraph in content.split(b"\n\n"):
        if part and len(part) + len(paragraph) > _PART_BYTES:
            yield part
            part = b""
        part += paragraph + b"\n\n"
    yield part
