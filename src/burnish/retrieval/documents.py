"""The documents that an index is made of."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.corpus.documents import files_of, read_file
from burnish.corpus.folders import CODE_SUFFIXES, MARKUP_SUFFIXES, Skipped, suffix_of
from burnish.corpus.readers import Readers

COMMENTED = frozenset(CODE_SUFFIXES) - frozenset(MARKUP_SUFFIXES)
"""Files of these have no headings: `# ` begins a comment there."""


@dataclass(frozen=True, slots=True)
class IndexedText:
    """A document as the index keeps it. sha256: of its text."""

    source: str
    data: bytes
    sha256: str
    licence: str | None

    @property
    def has_headings(self) -> bool:
        return suffix_of(Path(self.source)) not in COMMENTED


def texts_of(
    paths: Sequence[str | Path], skipped: list[Skipped], *, text_key: str = "text", id_key: str = "id"
) -> Iterator[IndexedText]:
    """Read every document that files, folders and patterns name, one by one; of equal ones of a source the first.

    skipped: receives what is not indexed, each with its reason: files of folders that cannot be read, and documents
    without a word.

    Raises DataError for a file that was named and cannot be read.
    """
    seen: set[tuple[str, str]] = set()
    with Readers() as readers:
        for file, name, in_folder in files_of(paths, skipped):
            not_read = skipped if in_folder else None
            for document in read_file(file, name, readers, text_key=text_key, id_key=id_key, skipped=not_read):
                # Halves of characters, which JSON can escape, are no text that a file could hold.
                data = document.text.encode("utf-8", "replace")
                text = IndexedText(document.source, data, hashlib.sha256(data).hexdigest(), document.licence)
                if not document.text.strip():
                    skipped.append(Skipped(file, document.source, "empty document"))
                elif (text.source, text.sha256) in seen:
                    skipped.append(Skipped(file, document.source, "document that is there twice", "it is indexed once"))
                else:
                    seen.add((text.source, text.sha256))
                    yield text
