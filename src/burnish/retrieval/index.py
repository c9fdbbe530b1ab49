"""The index: passages of documents, found by the words and the meaning of a question.

Notable choices:
- the encoder is loaded with the first question that needs it: BM25 alone starts at once, without PyTorch;
- vectors are compared with all others, exactly: a million of them are 0.4 billion multiplications.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from burnish.corpus.embeddings import Encoder, Vectors
from burnish.corpus.folders import Skipped
from burnish.errors import BurnishError, DataError
from burnish.retrieval import store
from burnish.retrieval.fusion import best, reciprocal_rank_fusion
from burnish.retrieval.graph import Graph
from burnish.retrieval.lexical import Lexicon, Scores, Words
from burnish.retrieval.settings import LONGEST_QUERY, IndexSettings, Ranking
from burnish.retrieval.store import IndexedDocument, PassageTable
from burnish.runs.progress import Reporter, Silent

FUSED_DEPTH = 100
"""Passages of each ranking that a fused one is made of."""
GRAPH_SEEDS = 10
"""Passages found that a walk over the graph begins at."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found.

    document: where it comes from, such as the name of a file. heading: those it stands under, joined by ` > `, or
    nothing. score: BM25, the cosine of the vectors, or of a fused ranking the sum of reciprocal ranks. passage: its
    number in the index.
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


@dataclass(frozen=True, slots=True)
class IndexedBy:
    """The encoder that an index was made with."""

    reference: str
    sha256: str


class Index:
    """A corpus that questions are asked to. Made by `build`, read by `open`."""

    def __init__(self, reader: store.Reader, *, encoder: str | Encoder | None, compute_dtype: str, device: str) -> None:
        self.folder = reader.folder
        self._given, self._compute_dtype, self._device = encoder, compute_dtype, device
        try:
            self.settings = IndexSettings.model_validate(reader.header["settings"])
            by = reader.header["encoder"]
            self.encoder = None if by is None else IndexedBy(**by)
            self.documents = [IndexedDocument(**row) for row in reader.json(store.DOCUMENTS_FILE)]
            self._headings: list[str] = reader.json(store.HEADINGS_FILE)
            self._passages = PassageTable(**reader.arrays(store.PASSAGES_FILE))
            self._texts = reader.texts(store.TEXTS_FILE)
            self._passages.check(len(self.documents), len(self._texts), len(self._headings))
            vocabulary = {term: place for place, term in enumerate(reader.json(store.VOCABULARY_FILE))}
            self._lexicon = Lexicon(vocabulary, **reader.arrays(store.TERMS_FILE), n_passages=len(self))
            self._lexicon.check()
            self.vectors: Vectors | None = None
            if self.encoder is not None:
                self.vectors = reader.arrays(store.VECTORS_FILE)["vectors"]
                if self.vectors.ndim != 2 or len(self.vectors) != len(self):
                    raise ValueError("vectors of no passage")
            self._graph: Graph | None = None
            if self.settings.graph:
                links = reader.arrays(store.LINKS_FILE)
                self._graph = Graph(reader.json(store.ENTITIES_FILE), **links, n_passages=len(self))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BurnishError(
                f"{self.folder}: not an index as this version writes it ({error}); make it anew"
            ) from error
        self._words = Words(self.settings.language)

    @classmethod
    def build(
        cls,
        paths: str | Path | Sequence[str | Path],
        folder: str | Path,
        settings: IndexSettings | None = None,
        *,
        encoder: str | Encoder | None = None,
        compute_dtype: str = "auto",
        device: str = "auto",
        text_key: str = "text",
        id_key: str = "id",
        display: Reporter | None = None,
    ) -> tuple["Index", Changes]:
        """Make an index of the documents that files, folders and patterns name, in a folder of its own.

        Of an index that is there with the same settings and encoder, what has not changed is taken over.

        Args:
            settings: of passages; the defaults if left out.
            encoder: the folder of an encoder, or `package:NAME/FOLDER`; without one there is BM25 alone.
            compute_dtype: of the encoder, as for `burnish.load`; so is `device`.
            text_key: column of the text in rows of data files; so is `id_key` of their name.
            display: where progress is shown.

        Raises DataError where there is no document with a word in it, and BurnishError where the folder holds
        something else, or the encoder cannot be used. What was in the folder stays until the new index is whole.
        """
        from burnish.retrieval.build import build_index

        loaded = Encoder(encoder, compute_dtype=compute_dtype, device=device) if isinstance(encoder, str) else encoder
        changes = build_index(
            [paths] if isinstance(paths, str | Path) else paths,
            Path(folder),
            settings or IndexSettings(),
            encoder=loaded,
            text_key=text_key,
            id_key=id_key,
            display=display or Silent(),
        )
        return cls.open(folder, encoder=loaded, compute_dtype=compute_dtype, device=device), changes

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        encoder: str | Encoder | None = None,
        compute_dtype: str = "auto",
        device: str = "auto",
    ) -> "Index":
        """Read an index. Raises BurnishError where there is none, or it is not what was written.

        encoder: where the index's encoder is now, if it is no longer where it was.
        """
        return cls(store.Reader(Path(folder)), encoder=encoder, compute_dtype=compute_dtype, device=device)

    def update(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        text_key: str = "text",
        id_key: str = "id",
        display: Reporter | None = None,
    ) -> tuple["Index", Changes]:
        """The index of these documents in this one's place, with its settings and encoder; see `build`.

        Only passages that are new are embedded; documents that are not among `paths` are no longer in it.
        """
        return type(self).build(
            paths,
            self.folder,
            self.settings,
            encoder=None if self.encoder is None else self._given or self.encoder.reference,
            compute_dtype=self._compute_dtype,
            device=self._device,
            text_key=text_key,
            id_key=id_key,
            display=display,
        )

    def __len__(self) -> int:
        """How many passages there are."""
        return len(self._passages)

    def search(self, query: str, *, k: int = 5, ranking: Ranking | None = None) -> list[Hit]:
        """The best `k` passages for a question, the best first; fewer where fewer have anything to do with it.

        ranking: by words, `bm25`; by meaning, `embeddings`; by both, `fused`, which it is if left out where the index
            has vectors; or by what is linked with those as well, `graph`.

        Raises DataError for a question that is empty or too long, and BurnishError where the ranking needs an encoder
        and there is none, or not the one that the index was made with.
        """
        query = checked_query(query)
        ranking = ranking or ("bm25" if self.vectors is None else "fused")
        if ranking == "bm25":
            scores = self._by_words(query)
            return [self.passage(number, float(scores[number])) for number in best(scores, k, above=0.0)]
        if ranking == "embeddings":
            scores = self._by_meaning(query)
            return [self.passage(number, float(scores[number])) for number in best(scores, k)]
        depth = max(k, FUSED_DEPTH)
        fused = self._fused(query, depth) if ranking == "fused" else self._linked(query, depth)
        return [self.passage(number, fused[number]) for number in _in_order(fused)[:k]]

    def _fused(self, query: str, depth: int) -> dict[int, float]:
        """The reciprocal ranks of passages by words and by meaning, added."""
        by_words, by_meaning = best(self._by_words(query), depth, above=0.0), best(self._by_meaning(query), depth)
        return reciprocal_rank_fusion([by_words, by_meaning])

    def _linked(self, query: str, depth: int) -> dict[int, float]:
        """The same of what is found and of what that is linked with."""
        if self._graph is None:
            raise BurnishError(f"{self.folder}: was made without a graph; make it anew with `--graph` (`graph: true`)")
        if self.vectors is None:
            found = best(self._by_words(query), depth, above=0.0)
        else:
            found = _in_order(self._fused(query, depth))[:depth]
        seeds = {number: 1 / rank for rank, number in enumerate(found[:GRAPH_SEEDS], start=1)}
        come_to = self._graph.walk(seeds, self._graph.named_in(query)).astype(np.float32)
        return reciprocal_rank_fusion([found, best(come_to, depth, above=0.0)])

    def passages_of(self, document: int) -> range:
        """The numbers of a document's passages."""
        first, last = np.searchsorted(self._passages.documents, [document, document + 1])
        return range(int(first), int(last))

    def span(self, passage: int) -> tuple[int, int]:
        """The bytes of a passage among those of all documents, one behind the other."""
        return int(self._passages.starts[passage]), int(self._passages.ends[passage])

    def passage(self, number: int, score: float = 0.0) -> Hit:
        """A passage by its number."""
        document = self.documents[self._passages.documents[number]]
        heading = self._headings[self._passages.headings[number]]
        return Hit(document.source, heading, self._texts(*self.span(number)), score, number)

    def searched(self) -> Iterator[str]:
        """What each passage is found by, in order."""
        for number in range(len(self)):
            found = self.passage(number)
            yield searched_text(found.heading, found.text)

    def _by_words(self, query: str) -> Scores:
        return self._lexicon.scores(self._words.terms(query))

    def _by_meaning(self, query: str) -> Scores:
        if self.vectors is None:
            raise BurnishError(
                f"{self.folder}: was made without an encoder, so passages are ranked by bm25 alone; "
                "make it anew with one"
            )
        (vector,) = self._loaded.embedder.embed([query], "query")
        return self.vectors @ vector

    @cached_property
    def _loaded(self) -> Encoder:
        """The encoder that the vectors are of."""
        assert self.encoder is not None
        found = self._given or self.encoder.reference
        try:
            if isinstance(found, str):
                found = Encoder(found, compute_dtype=self._compute_dtype, device=self._device)
        except BurnishError as error:
            raise BurnishError(f"{self.folder}: the encoder that it was made with is not there: {error}") from error
        if found.sha256 != self.encoder.sha256:
            raise BurnishError(
                f"{self.folder}: {found.reference} is not the encoder that it was made with (its SHA-256 differs); "
                "name that one, or make the index anew"
            )
        return found

    def _hits(self, scores: Scores, k: int, *, above: float = -np.inf) -> list[Hit]:
        return [self.passage(passage, float(scores[passage])) for passage in best(scores, k, above=above)]


def _in_order(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda number: (-scores[number], number))


def searched_text(heading: str, text: str) -> str:
    """What a passage is found by: the headings above it, and itself."""
    return f"{heading}\n{text}" if heading else text


def checked_query(query: str) -> str:
    """The question as it is searched for. Raises DataError where there is none, or it is too long to be one."""
    if not query.strip():
        raise DataError("the question is empty; expected some words to search for")
    if not query.isascii() and any("\ud800" <= letter <= "\udfff" for letter in query):
        raise DataError("the question is no text: it has bytes that are not UTF-8, or halves of characters")
    if len(query) > LONGEST_QUERY:
        raise DataError(
            f"the question has {len(query):,} characters; a search takes at most {LONGEST_QUERY:,}: ask for a part"
        )
    return query
