"""Near duplicates by meaning: documents whose vectors are nearly parallel (SemDeDup: Abbas 2023, arXiv:2303.09540).

MinHash and SimHash compare words; this finds texts that say the same in others, and takes as long as the encoder does.

Notable choices:
- every pair is compared, block by block, so nothing is missed: the original clusters first and compares within clusters
  alone. That is n² products of vectors, about a minute for a hundred thousand documents, and `decide` holds all
  vectors, four bytes a number;
- what a block has joined is kept as one edge a document, so that memory does not grow with the number of equal pairs.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from burnish.corpus.embeddings import DEFAULT_ENCODER
from burnish.corpus.preparation.steps.clusters import NODES_OF_DOCUMENT, components, decisions, of_edges
from burnish.corpus.preparation.steps.spans import Numbers
from burnish.corpus.preparation.steps.step import CorpusStep
from burnish.packages import PACKAGE, in_package

if TYPE_CHECKING:
    from burnish.corpus.embeddings import Embedder

Vectors = npt.NDArray[np.float32]

_ROWS, _COLUMNS = 1024, 8192
"""Vectors that are compared at once."""


class EmbeddingDuplicates(CorpusStep):
    """Of documents whose vectors are nearly parallel keep one: of the earliest source, the smallest id."""

    libraries: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")

    type: Literal["embedding_duplicates"] = Field("embedding_duplicates", description="embedding_duplicates")
    min_cosine: float = Field(0.95, gt=0, le=1, description="cosine of two vectors from which documents are alike")
    encoder: str = Field(DEFAULT_ENCODER, description="folder of a text encoder, or package:NAME/FOLDER")

    def inputs(self) -> list[str]:
        folder = in_package(self.encoder) if self.encoder.startswith(PACKAGE) else self.path(self.encoder)
        files = sorted(file for file in folder.rglob("*") if file.suffix in (".safetensors", ".json"))
        return [str(file) for file in files] or [self.encoder]

    def sign(self, batch: pl.DataFrame) -> pl.DataFrame:
        packaged = self.encoder.startswith(PACKAGE)
        vectors = _embedder(self.encoder if packaged else str(self.path(self.encoder))).embed(
            batch["text"].to_list(), "document"
        )
        return pl.DataFrame({"vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))})

    def decide(self, signatures: pl.LazyFrame) -> pl.DataFrame:
        numbered = signatures.with_row_index("document")
        vectors = numbered.select("vector").collect(engine="streaming")["vector"].to_numpy()
        first, other = near_pairs(np.ascontiguousarray(vectors, dtype=np.float32), self.min_cosine)
        nodes = (np.uint64(NODES_OF_DOCUMENT) * pairs.astype(np.uint64) for pairs in (first, other))
        edges = pl.DataFrame(dict(zip(("first", "other"), nodes, strict=True)))
        return decisions(of_edges(numbered, edges), "near duplicate", "like {}")


def near_pairs(vectors: Vectors, min_cosine: float) -> tuple[Numbers, Numbers]:
    """Pairs that join all vectors, `[n, dimension]` of unit length, whose cosine is `min_cosine` or more.

    Not each such pair is among them, but two vectors are joined, also through others, if they are by all pairs.
    """
    n = len(vectors)
    root = np.arange(n)
    for low in range(0, n, _ROWS):
        ones, others = [root], [np.arange(n)]
        for start in range(low, n, _COLUMNS):
            cosines = vectors[low : low + _ROWS] @ vectors[start : start + _COLUMNS].T
            one, other = np.nonzero(cosines >= min_cosine)
            above = one + low < other + start
            ones.append(one[above] + low)
            others.append(other[above] + start)
        if sum(map(len, ones)) > n:
            root = components(n, np.concatenate(ones), np.concatenate(others))
    joined = np.flatnonzero(root != np.arange(n))
    return root[joined], joined


@lru_cache(maxsize=1)
def _embedder(reference: str) -> "Embedder":
    from burnish.corpus.embeddings import Encoder

    return Encoder(reference, compute_dtype="float32", device="cpu").embedder
