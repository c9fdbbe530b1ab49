"""Runs of words as numbers of 64 bits, of all texts of a batch at once.

A run's number is a chain: each word's hash is mixed into what the words before it made. So the number of a run of n
words is on the way to that of the run of n + 1 that begins with them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

MIX = np.uint64(0x9E3779B97F4A7C15)


class Words(NamedTuple):
    """The words of several texts, one text behind the other. found: as they stand there; counts: `[texts]`."""

    found: pl.Series
    counts: Numbers


def words_of(texts: pl.Series, pattern: str) -> Words:
    """Everything in the texts that a pattern finds."""
    lists = texts.str.extract_all(pattern)
    return Words(lists.explode().drop_nulls(), lists.list.len().to_numpy().astype(np.int64))


def runs(words: Hashes, count: Numbers, n: int) -> tuple[Hashes, npt.NDArray[np.uint64]]:
    """Hashes of the runs of n words of each text, one text behind the other, and where each text's begin.

    words: `[words]`, their hashes; count: `[texts]`. A text of fewer than n words is one run of all of them.
    """
    starts = np.concatenate([[0], np.cumsum(count)])
    length = np.minimum(count, n)
    n_runs = np.where(count > 0, count - length + 1, 0)
    offsets = np.concatenate([[0], np.cumsum(n_runs)]).astype(np.uint64)
    text = np.repeat(np.arange(len(count)), n_runs)
    first = starts[text] + np.arange(len(text)) - offsets[text].astype(np.int64)
    chain = np.zeros(len(text), dtype=np.uint64)
    for place in range(n):
        inside = place < length[text]
        chain[inside] = mixed(chain[inside] ^ words[first[inside] + place])
    return chain, offsets


def runs_of_lengths(words: Hashes, count: Numbers, lengths: set[int]) -> Iterator[tuple[int, Numbers, Hashes]]:
    """Of each length in turn the runs of exactly so many words: length, number of the first word, hash."""
    ends = np.repeat(np.cumsum(count), count)
    chain = np.zeros(len(words), dtype=np.uint64)
    for place in range(min(max(lengths, default=0), len(words))):
        length = place + 1
        chain = mixed(chain[: len(words) - place] ^ words[place:])
        if length in lengths:
            starts = np.flatnonzero(np.arange(len(chain)) + length <= ends[: len(chain)])
            yield length, starts, chain[starts]


def mixed(numbers: Hashes) -> Hashes:
    """Each number spread over all bits (the finalizer of SplitMix64): a bijection, so that order matters in a chain."""
    with np.errstate(over="ignore"):
        numbers = (numbers + MIX).astype(np.uint64)
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return numbers ^ (numbers >> np.uint64(31))
