"""What a folder of documents holds: how many files of which kinds, about how much text, how many questions it gives.

A look, not a reading: of many files some are read, evenly chosen, and the others are taken to be like those of their
kind. So a folder of gigabytes is seen in seconds.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from burnish.corpus.amounts import CHARACTERS_PER_TOKEN
from burnish.corpus.documents import Document, files_of, read_file
from burnish.corpus.folders import CODE_SUFFIXES, MARKUP_SUFFIXES, Skipped, counts, suffix_of
from burnish.corpus.readers import Readers
from burnish.errors import DataError
from burnish.synthesis.rows import Pair

READ_FILES = 60
READ_BYTES = 20 << 20
"""Larger files are counted by their size alone."""


@dataclass
class Survey:
    """What was found. files: by suffix. characters, rows, questions: of all files, estimated from those that were read.

    rows: questions and answers that the structure gives; questions: those of them with an exact answer.
    """

    files: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    read: int = 0
    documents: float = 0
    characters: float = 0
    rows: float = 0
    questions: float = 0

    @property
    def tokens(self) -> float:
        """About how many tokens it is."""
        return self.characters / CHARACTERS_PER_TOKEN

    @property
    def code_share(self) -> float:
        """The share of the files that is source code."""
        code = sum(
            count for suffix, count in self.files.items() if suffix in CODE_SUFFIXES and suffix not in MARKUP_SUFFIXES
        )
        return code / max(1, sum(self.files.values()))

    def found(self) -> str:
        """All of it in a line."""
        kinds = ", ".join(f"{count:,} {suffix or 'other'}" for suffix, count in self.files.most_common(5))
        more = ", …" if len(self.files) > 5 else ""
        return (
            f"{sum(self.files.values()):,} files ({kinds}{more}), about {self.tokens:,.0f} tokens"
            f"{'' if self.read == sum(self.files.values()) else f', estimated from {self.read:,} of them'}"
        )

    def not_read(self) -> str:
        """What is passed over, in a line; nothing where all is read."""
        kinds = [f"{count:,} {kind}" for kind, count in counts(self.skipped).items()]
        return ", ".join(kinds[:4]) + (", …" if len(kinds) > 4 else "")


def survey(docs: Path) -> Survey:
    """Look at documents. Raises DataError where there is none that can be read."""
    found = Survey()
    files = list(files_of([docs], found.skipped))
    by_suffix: dict[str, list[tuple[Path, str, int]]] = defaultdict(list)
    for path, name, _ in files:
        found.files[suffix_of(path)] += 1
        by_suffix[suffix_of(path)].append((path, name, path.stat().st_size))
    with Readers() as readers:
        for of_suffix in by_suffix.values():
            n = max(3, round(READ_FILES * len(of_suffix) / len(files)))
            _estimate(found, of_suffix, of_suffix[:: max(1, len(of_suffix) // n)][:n], readers)
    if not found.characters:
        raise DataError(f"{docs}: there is no text in it that can be read: {found.not_read() or 'it is empty'}")
    return found


def _estimate(
    found: Survey, files: Sequence[tuple[Path, str, int]], chosen: Sequence[tuple[Path, str, int]], readers: Readers
) -> None:
    """Add what files of one kind hold, by those of them that are chosen to be read."""
    documents: list[Document] = []
    n_bytes = 0
    for path, name, size in chosen:
        if size <= READ_BYTES or len(chosen) == 1:
            n_skipped = len(found.skipped)
            documents += read_file(path, name, readers, skipped=found.skipped)
            n_bytes += size
            if any(one.path == path for one in found.skipped[n_skipped:]):
                found.files -= Counter([suffix_of(path)])
            else:
                found.read += 1
    if not n_bytes:
        return
    times = sum(size for *_, size in files) / n_bytes
    found.documents += times * len(documents)
    found.characters += times * sum(len(document.text) for document in documents)
    rows, questions = _asked(documents)
    found.rows += times * rows
    found.questions += times * questions


def _asked(documents: Sequence[Document]) -> tuple[int, int]:
    """How many rows, and how many of them with exact answers, the structure of documents gives."""
    from burnish.synthesis.checks import distinct
    from burnish.synthesis.documents import chunks
    from burnish.synthesis.extract import pairs
    from burnish.synthesis.selection import capped
    from burnish.synthesis.settings import Settings

    settings = Settings.model_validate({})
    found: list[Pair] = []
    for document in documents:
        read = [
            pair
            for chunk in chunks(document, settings.chunk_characters)
            for pair in pairs(chunk, settings.extract.rules, settings.extract.max_answer_characters)
        ]
        found += capped(read, settings.extract.per_document)[0]
    kept, _ = distinct(found)
    return len(kept), sum(pair.exact for pair in kept)
