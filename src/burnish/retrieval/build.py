"""An index made of documents, or made anew of what has changed.

Notable choices:
- a document that has not changed is not cut again, and a passage whose text and headings are the same keeps its vector;
  BM25 is weighed anew, since every document counts in every weight;
- vectors are kept beside the index while they are computed, so that a killed build goes on where it was.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from burnish.corpus.embeddings import Encoder, Vectors
from burnish.corpus.folders import Skipped
from burnish.errors import BurnishError, DataError
from burnish.kept import DamagedError
from burnish.retrieval import store
from burnish.retrieval.chunks import Chunk, chunk, words_and_signs
from burnish.retrieval.documents import IndexedText, texts_of
from burnish.retrieval.graph import Graph, entities
from burnish.retrieval.index import Changes, Index, searched_text
from burnish.retrieval.lexical import Lexicon, Words
from burnish.retrieval.settings import IndexSettings
from burnish.retrieval.store import IndexedDocument, PassageTable
from burnish.runs.progress import Reporter

GROUP = 512
"""Passages whose vectors are kept together while an index is made."""
_DIGEST_BYTES = 16

Digest = bytes


@dataclass(frozen=True, slots=True)
class PassageSpan:
    """A passage by its bytes in its document, and the headings above it."""

    start: int
    end: int
    heading: str


def build_index(
    paths: Sequence[str | Path],
    folder: Path,
    settings: IndexSettings,
    *,
    encoder: Encoder | None,
    text_key: str,
    id_key: str,
    display: Reporter,
) -> Changes:
    """Make an index in `folder`; of one that is there what still holds is taken over. The rest is as `Index.build`."""
    store.check_replaceable(folder)
    earlier = Earlier(_opened(folder, display), settings, encoder)
    skipped: list[Skipped] = []
    texts = texts_of(paths, skipped, text_key=text_key, id_key=id_key)
    build = _Build(settings, encoder, earlier)
    with store.writing(folder) as writer:
        writer.texts(store.TEXTS_FILE, map(build.add, texts))
        if not build.documents:
            raise DataError(f"{', '.join(map(str, paths))}: there is no document with a word in it to index")
        vectors = None
        if encoder is not None:
            work = folder.parent / f".{folder.name}.vectors"
            vectors = embed(build.searched, encoder, earlier.vectors(), work, display)
        build.write(writer, vectors)
    if encoder is not None:
        shutil.rmtree(work, ignore_errors=True)
    kept = sum((one.source, one.sha256) in earlier.documents for one in build.documents)
    return Changes(
        added=len(build.documents) - kept,
        removed=len(earlier.documents) - kept,
        kept=kept,
        passages=len(build.searched),
        skipped=skipped,
    )


class Earlier:
    """What an earlier index has that need not be made again."""

    def __init__(self, index: Index | None, settings: IndexSettings, encoder: Encoder | None) -> None:
        self._index = index
        self.documents: dict[tuple[str, str], int] = {}
        if index is not None:
            self.documents = {(one.source, one.sha256): number for number, one in enumerate(index.documents)}
        of_index = None if index is None or index.encoder is None else index.encoder.sha256
        wanted = None if encoder is None else encoder.sha256
        # The encoder's tokenizer says what a token is.
        self._same_pieces = index is not None and index.settings == settings and of_index == wanted
        self._same_vectors = of_index is not None and of_index == wanted

    def pieces(self, document: IndexedText) -> list[PassageSpan] | None:
        """A document's passages, where it was cut before as it would be now."""
        number = self.documents.get((document.source, document.sha256))
        if not self._same_pieces or self._index is None or number is None:
            return None
        first = self._index.documents[number].start
        return [
            PassageSpan(start - first, end - first, self._index.passage(passage).heading)
            for passage in self._index.passages_of(number)
            for start, end in [self._index.span(passage)]
        ]

    def vectors(self) -> dict[Digest, NDArray[np.float32]]:
        """The vectors of passages, by the digest of what was embedded."""
        if not self._same_vectors or self._index is None or self._index.vectors is None:
            return {}
        return {digest(text): vector for text, vector in zip(self._index.searched(), self._index.vectors, strict=True)}


class _Build:
    """An index in the making, document by document."""

    def __init__(self, settings: IndexSettings, encoder: Encoder | None, earlier: Earlier) -> None:
        self.settings, self.encoder, self.earlier = settings, encoder, earlier
        self.words = Words(settings.language)
        self.documents: list[IndexedDocument] = []
        self.places: list[tuple[int, int, int, int]] = []
        self.headings: dict[str, int] = {}
        self.searched: list[str] = []
        self.named: list[dict[str, float]] = []
        self.position = 0

    def add(self, document: IndexedText) -> bytes:
        """Take a document's passages; returns its bytes."""
        start = self.position
        self.position += len(document.data)
        self.documents.append(IndexedDocument(document.source, start, self.position, document.sha256, document.licence))
        pieces = self.earlier.pieces(document)
        for piece in self._cut(document) if pieces is None else pieces:
            heading = self.headings.setdefault(piece.heading, len(self.headings))
            self.places.append((len(self.documents) - 1, start + piece.start, start + piece.end, heading))
            body = document.data[piece.start : piece.end].decode()
            self.searched.append(searched_text(piece.heading, body))
            if self.settings.graph:
                self.named.append(entities(body, piece.heading))
        return document.data

    def _cut(self, document: IndexedText) -> list[PassageSpan]:
        text = document.data.decode()
        starts = words_and_signs if self.encoder is None else self.encoder.embedder.token_starts
        size, overlap = self.settings.size, self.settings.overlap
        chunks = chunk(text, starts, size=size, overlap=overlap, headings=document.has_headings)
        return [
            PassageSpan(first, last, one.heading)
            for one, (first, last) in zip(chunks, _byte_places(text, chunks), strict=True)
        ]

    def write(self, writer: store.Writer, vectors: Vectors | None) -> None:
        """Write all but the texts."""
        rows = [{name: getattr(one, name) for name in IndexedDocument.__slots__} for one in self.documents]
        writer.json(store.DOCUMENTS_FILE, rows)
        writer.json(store.HEADINGS_FILE, list(self.headings))
        writer.arrays(store.PASSAGES_FILE, PassageTable.of(self.places))
        lexicon = Lexicon.build(self.words.terms(text) for text in self.searched)
        writer.json(store.VOCABULARY_FILE, list(lexicon.vocabulary))
        writer.arrays(store.TERMS_FILE, {"weights": lexicon.weights, "rows": lexicon.rows, "columns": lexicon.columns})
        if self.settings.graph:
            graph = Graph.build(self.named)
            writer.json(store.ENTITIES_FILE, graph.names)
            writer.arrays(
                store.LINKS_FILE, {"passages": graph.passages, "nodes": graph.nodes, "weights": graph.weights}
            )
        header = {"settings": self.settings.model_dump(mode="json"), "encoder": None}
        if vectors is not None and self.encoder is not None:
            writer.arrays(store.VECTORS_FILE, {"vectors": vectors})
            header["encoder"] = {"reference": self.encoder.reference, "sha256": self.encoder.sha256}
        writer.finish(header)


def embed(
    texts: Sequence[str],
    encoder: Encoder,
    known: Mapping[Digest, NDArray[np.float32]],
    work: Path,
    display: Reporter,
) -> Vectors:
    """The vectors of passages, `[texts, dimension]`; those that are not known are computed, each text once.

    work: the folder where what is computed is kept, for a build that goes on where another was killed.
    """
    digests = [digest(text) for text in texts]
    known = {**known, **_kept(work, encoder.sha256)}
    missing = list({name: text for name, text in zip(digests, texts, strict=True) if name not in known}.items())
    if missing:
        computed: dict[Digest, NDArray[np.float32]] = {}
        with display.bar("embedding", len(missing), "passages") as bar:
            for first in range(0, len(missing), GROUP):
                group = missing[first : first + GROUP]
                vectors = encoder.embedder.embed([text for _, text in group], "document")
                _keep(work / f"{group[0][0].hex()}.safetensors", [name for name, _ in group], vectors, encoder.sha256)
                computed |= zip((name for name, _ in group), vectors, strict=True)
                bar.update(first + len(group))
        known = {**known, **computed}
    return np.stack([known[name] for name in digests])


def digest(text: str) -> Digest:
    """What a passage is known by."""
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def _keep(file: Path, names: Sequence[Digest], vectors: Vectors, encoder: str) -> None:
    import torch

    from burnish.kept import write_tensors

    digests = np.frombuffer(b"".join(names), dtype=np.uint8).reshape(-1, _DIGEST_BYTES).copy()
    tensors = {"digests": torch.from_numpy(digests), "vectors": torch.from_numpy(vectors)}
    write_tensors(file, tensors, {"encoder": encoder})


def _kept(work: Path, encoder: str) -> dict[Digest, NDArray[np.float32]]:
    """What a killed build has left of the same encoder's; what is damaged is computed again."""
    from burnish.kept import open_tensors

    found: dict[Digest, NDArray[np.float32]] = {}
    for file in sorted(work.glob("*.safetensors")) if work.is_dir() else ():
        try:
            with open_tensors(file) as kept:
                if kept.facts.get("encoder") == encoder:
                    names, vectors = kept["digests"].numpy(), kept["vectors"].numpy()
                    found |= {name.tobytes(): vector for name, vector in zip(names, vectors, strict=True)}
        except DamagedError:
            continue
    return found


def _opened(folder: Path, display: Reporter) -> Index | None:
    """The index that is there; one that cannot be read is made anew from nothing, which is said."""
    if not (folder / store.INDEX_FILE).exists():
        return None
    try:
        return Index.open(folder)
    except BurnishError as error:
        display.say(f"{error}; it is made anew", style="yellow")
        return None


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
