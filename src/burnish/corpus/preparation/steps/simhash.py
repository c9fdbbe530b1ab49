"""Near duplicates by SimHash (Charikar 2002; Manku 2007, "Detecting near-duplicates for web crawling").

A text's fingerprint has 64 bits: each run of words votes by its hash for each bit to be 1 or 0. Texts of a small angle
between their vectors of runs have fingerprints of few different bits: bits differ with probability angle / π.

Notable choices:
- the pairs of at most `max_distance` different bits are found exactly: cut into `max_distance` + 2 blocks, two such
  fingerprints agree in two blocks at least, so only texts that agree in two blocks are compared;
- beside MinHash it weighs runs by how often they occur, has one number a document, and is blind to small changes of
  short texts' order less than their sets are.
"""

from itertools import combinations, pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from burnish.corpus.preparation.steps.clusters import NODES_OF_DOCUMENT, decisions, of_edges
from burnish.corpus.preparation.steps.runs import runs, words_of
from burnish.corpus.preparation.steps.spans import Hashes
from burnish.corpus.preparation.steps.step import CorpusStep

BITS = 64
_RUNS_AT_ONCE = 1 << 20
_ONES = np.array([number.bit_count() for number in range(1 << 16)], dtype=np.uint8)


class SimHash(CorpusStep):
    """Of documents whose fingerprints differ in few bits keep one: of the earliest source, the smallest id."""

    type: Literal["simhash"] = Field("simhash", description="simhash")
    max_distance: int = Field(3, ge=0, le=8, description="most bits of 64 in which near duplicates differ")
    ngram: int = Field(3, ge=1, description="words of a run; texts are compared as bags of runs")
    seed: int = Field(1, ge=0, lt=2**32, description="of the hashes of words")

    def sign(self, batch: pl.DataFrame) -> pl.DataFrame:
        prints, found = fingerprints(batch["text"], self.ngram, self.seed)
        return pl.DataFrame({"print": pl.Series(prints).set(pl.Series(~found), None)})

    def decide(self, signatures: pl.LazyFrame) -> pl.DataFrame:
        numbered = signatures.with_row_index("document")
        prints = numbered.select("document", "print").drop_nulls().collect(engine="streaming").sort("document")
        first, other = near_pairs(prints["print"].to_numpy(), self.max_distance)
        nodes = prints["document"].to_numpy().astype(np.uint64) * np.uint64(NODES_OF_DOCUMENT)
        edges = pl.DataFrame({"first": nodes[first], "other": nodes[other]})
        return decisions(of_edges(numbered, edges), "near duplicate", "like {}")


def fingerprints(texts: pl.Series, ngram: int, seed: int) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """Fingerprints `[texts]`, and whether each text has a word; others are not alike."""
    words, count = words_of(texts, r"\S+")
    numbers, offsets = runs(words.str.to_lowercase().hash(seed=seed).to_numpy(), count, ngram)
    starts = offsets.astype(np.int64)
    result = np.zeros(len(texts), dtype=np.uint64)
    for text in range(len(texts)):
        ones = np.zeros(BITS, dtype=np.int64)
        mine = numbers[starts[text] : starts[text + 1]]
        for low in range(0, len(mine), _RUNS_AT_ONCE):
            part = mine[low : low + _RUNS_AT_ONCE].astype("<u8")
            bits = np.unpackbits(part.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
            ones += bits.sum(axis=0, dtype=np.int64)
        result[text] = np.packbits(2 * ones > len(mine), bitorder="little").view("<u8")[0]
    return result, count > 0


def near_pairs(prints: Hashes, max_distance: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of fingerprints that differ in at most so many bits: of equal ones each with the first, else all pairs."""
    unique, first, inverse = np.unique(prints, return_index=True, return_inverse=True)
    equal = np.flatnonzero(first[inverse] != np.arange(len(prints)))
    pairs = [(first[inverse[equal]], equal)]
    edges = np.linspace(0, BITS, max_distance + 3).astype(int).tolist()
    masks = [((1 << high) - 1) ^ ((1 << low) - 1) for low, high in pairwise(edges)]
    for one, other in combinations(masks, 2) if max_distance else ():
        keys = unique & np.uint64(one | other)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        distance = 1
        while len(same := np.flatnonzero(keys[distance:] == keys[:-distance])):
            low, high = order[same], order[same + distance]
            near = _differing(unique[low], unique[high]) <= max_distance
            pairs.append((first[low[near]], first[high[near]]))
            distance += 1
    low, high = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    return np.minimum(low, high), np.maximum(low, high)


def _differing(one: Hashes, other: Hashes) -> npt.NDArray[np.int64]:
    """In how many bits each pair of numbers differs."""
    words = (one ^ other).view(np.uint16).reshape(-1, BITS // 16)
    return _ONES[words].sum(axis=1, dtype=np.int64)
