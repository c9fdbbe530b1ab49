"""The index: passages of documents, found by the words of a question."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.corpus.folders import Skipped
from burnish.errors import BurnishError, DataError
from burnish.retrieval import store
from burnish.retrieval.chunks import Chunk, chunk, words_and_signs
from burnish.retrieval.documents import Text, texts_of
from burnish.retrieval.fusion import best
from burnish.retrieval.lexical import Lexicon, Words
from burnish.retrieval.settings import LONGEST_QUERY, IndexSettings, Ranking
from burnish.retrieval.store import IndexedDocument, Texts
from burnish.runs.progress import Reporter, Silent

HEADINGS_FILE = "headings.json"
PASSAGES_FILE = "passages.safetensors"
VOCABULARY_FILE = "vocabulary.json"
TERMS_FILE = "terms.safetensors"


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found.

    document: where it comes from, such as the name of a file. heading: those it stands under, joined by ` > `, or
    nothing. score: BM25. passage: its number in the index.
    """

    document: str
    heading: str
    text: str
    score: float
    passage: int

    @property
    def place(self) -> str:
        """Document and heading, as a citation names them."""
        return f"{self.document}, {self.heading}" if self.heading else self.document


@dataclass(frozen=True)
class Changes:
    """What became of the documents when an index was made or updated.

    added, removed, kept: documents. skipped: files and documents that are not in it, each with its reason.
    """

    added: int
    removed: int
    kept: int
    passages: int
    skipped: list[Skipped] = field(default_factory=list)


class Index:
    """A corpus that questions are asked to. Made by `build`, read by `open`."""

    def __init__(self, folder: Path, reader: store.Reader) -> None:
        self.folder = folder
        try:
            self.settings = IndexSettings.model_validate(reader.header["settings"])
            self.documents = [IndexedDocument(**row) for row in reader.lines(store.DOCUMENTS_FILE)]
            self._headings: list[str] = reader.json(HEADINGS_FILE)
            self._passages = _Passages(**reader.arrays(PASSAGES_FILE))
            vocabulary = {term: place for place, term in enumerate(reader.json(VOCABULARY_FILE))}
            self._lexicon = Lexicon(vocabulary, **reader.arrays(TERMS_FILE), n_passages=len(self._passages))
        except (ValueError, KeyError, TypeError) as error:
            raise BurnishError(f"{folder}: not an index as this version writes it ({error}); make it anew") from error
        self._texts: Texts = reader.texts(store.TEXTS_FILE)
        self._words = Words(self.settings.language)

    @classmethod
    def build(
        cls,
        paths: str | Path | Sequence[str | Path],
        folder: str | Path,
        settings: IndexSettings | None = None,
        *,
        text_key: str = "text",
        id_key: str = "id",
        display: Reporter | None = None,
    ) -> tuple["Index", Changes]:
        """Make an index of the documents that files, folders and patterns name, in a folder of its own.

        text_key, id_key: of rows of data files.

        Raises DataError where there is no document with a word in it, and BurnishError where the folder holds
        something else. What was in the folder stays until the new index is whole.
        """
        named = [paths] if isinstance(paths, str | Path) else paths
        folder, settings = Path(folder), settings or IndexSettings()
        skipped: list[Skipped] = []
        _Build(folder, settings, display or Silent()).write(
            texts_of(named, skipped, text_key=text_key, id_key=id_key), named
        )
        index = cls.open(folder)
        return index, Changes(len(index.documents), 0, 0, len(index), skipped)

    @classmethod
    def open(cls, folder: str | Path) -> "Index":
        """Read an index. Raises BurnishError where there is none, or it is not what was written."""
        return cls(Path(folder), store.Reader(Path(folder)))

    def __len__(self) -> int:
        """How many passages there are."""
        return len(self._passages)

    def search(self, query: str, *, k: int = 5, ranking: Ranking | None = None) -> list[Hit]:
        """The best `k` passages for a question, the best first; fewer where fewer have anything to do with it.

        Raises DataError for a question that is empty or too long.
        """
        query = checked_query(query)
        scores = self._lexicon.scores(self._words.terms(query))
        return [self._hit(passage, float(scores[passage])) for passage in best(scores, k, above=0.0)]

    def _hit(self, passage: int, score: float) -> Hit:
        place = self._passages
        document = self.documents[place.documents[passage]]
        text = self._texts(int(place.starts[passage]), int(place.ends[passage]))
        return Hit(document.source, self._headings[place.headings[passage]], text, score, passage)


def checked_query(query: str) -> str:
    """The question as it is searched for. Raises DataError where there is none, or it is too long to be one."""
    if not query.strip():
        raise DataError("the question is empty; expected some words to search for")
    if len(query) > LONGEST_QUERY:
        raise DataError(
            f"the question has {len(query):,} characters; a search takes at most {LONGEST_QUERY:,}: ask for a part"
        )
    return query


@dataclass(frozen=True, slots=True)
class _Passages:
    """Where each passage stands: `[n]` its document, its bytes in the file of texts, its heading."""

    documents: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    headings: NDArray[np.int32]

    @classmethod
    def of(cls, places: Sequence[tuple[int, int, int, int]]) -> dict[str, NDArray[Any]]:
        """The arrays of passages, each given by its document, bytes and heading."""
        types = {"documents": np.int32, "starts": np.int64, "ends": np.int64, "headings": np.int32}
        columns = zip(*places, strict=True)
        return {name: np.array(column, dtype=types[name]) for name, column in zip(types, columns, strict=True)}

    def __len__(self) -> int:
        return len(self.documents)


class _Build:
    """An index in the making, document by document."""

    def __init__(self, folder: Path, settings: IndexSettings, display: Reporter) -> None:
        self.folder, self.settings, self.display = folder, settings, display
        self.words = Words(settings.language)
        self.documents: list[IndexedDocument] = []
        self.places: list[tuple[int, int, int, int]] = []
        self.headings: dict[str, int] = {}
        self.terms: list[list[str]] = []
        self.position = 0

    def write(self, texts: Iterator[Text], named: Sequence[str | Path]) -> None:
        with store.writing(self.folder) as writer:
            writer.texts(store.TEXTS_FILE, map(self._add, texts))
            if not self.documents:
                raise DataError(f"{', '.join(map(str, named))}: there is no document with a word in it to index")
            rows = [{name: getattr(one, name) for name in IndexedDocument.__slots__} for one in self.documents]
            writer.lines(store.DOCUMENTS_FILE, rows)
            writer.json(HEADINGS_FILE, list(self.headings))
            columns = zip(*self.places, strict=True)
            types = {"documents": np.int32, "starts": np.int64, "ends": np.int64, "headings": np.int32}
            writer.arrays(
                PASSAGES_FILE,
                {
                    name: np.array(column, dtype=kind)
                    for (name, kind), column in zip(types.items(), columns, strict=True)
                },
            )
            lexicon = Lexicon.build(self.terms)
            writer.json(VOCABULARY_FILE, list(lexicon.vocabulary))
            writer.arrays(TERMS_FILE, {"weights": lexicon.weights, "rows": lexicon.rows, "columns": lexicon.columns})
            header: dict[str, Any] = {"settings": self.settings.model_dump(mode="json")}
            writer.finish(header)

    def _add(self, document: Text) -> bytes:
        """Take a document's passages; returns its bytes."""
        text = document.data.decode()
        size, overlap = self.settings.size, self.settings.overlap
        chunks = chunk(text, words_and_signs, size=size, overlap=overlap, headings=document.has_headings)
        start = self.position
        self.position += len(document.data)
        self.documents.append(IndexedDocument(document.source, start, self.position, document.sha256, document.licence))
        for one, (first, last) in zip(chunks, _byte_places(text, chunks), strict=True):
            heading = self.headings.setdefault(one.heading, len(self.headings))
            self.places.append((len(self.documents) - 1, start + first, start + last, heading))
            self.terms.append(self.words.terms(f"{one.heading}\n{text[one.start : one.end]}"))
        return document.data


def _byte_places(text: str, chunks: Sequence[Chunk]) -> Iterator[tuple[int, int]]:
    """Where each passage starts and ends in the text's UTF-8. Passages start in order, and may overlap."""
    if text.isascii():
        yield from ((one.start, one.end) for one in chunks)
        return
    character = byte = 0
    for one in chunks:
        byte += len(text[character : one.start].encode())
        character = one.start
        yield byte, byte + len(text[one.start : one.end].encode())
