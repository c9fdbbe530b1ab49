"""Runs of words as numbers of 64 bits, of all texts of a batch at once.

A run's number is a chain: each word's hash is mixed into what the words before it made. So the number of a run of n
words is on the way to that of the run of n + 1 that begins with them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from burnish.corpus.preparation.steps.spans import Hashes, Numbers, mixed


class TextWords(NamedTuple):
    """The words of several texts, one text behind the other. found: as they stand there; counts: `[texts]`."""

    found: pl.Series
    counts: Numbers


def words_of(texts: pl.Series, pattern: str) -> TextWords:
    """Everything in the texts that a pattern finds."""
    lists = texts.str.extract_all(pattern)
    return TextWords(lists.explode().drop_nulls(), lists.list.len().to_numpy().astype(np.int64))


def runs(words: Hashes, count: Numbers, n: int) -> tuple[Hashes, npt.NDArray[np.uint64]]:
    """Hashes of the runs of n words of each text, one text behind the other, and where each text's begin.

    words: `[words]`, their hashes; count: `[texts]`. A text of fewer than n words is one run of all of them.
    """
    ends = np.cumsum(count)
    n_runs = np.where(count > 0, np.maximum(count - n, 0) + 1, 0)
    offsets = np.concatenate([[0], np.cumsum(n_runs)])
    # A run may begin at all words of a text but the last n - 1, and at the first of all.
    chosen = np.ones(len(words), np.bool_)
    for place in range(1, n):
        chosen[(ends - place)[count > place]] = False
    found = np.zeros(len(words), np.uint64)
    whole = chains(words, n)
    found[: len(whole)] = whole
    for length in range(1, min(n, int(count.max(initial=0)) + 1)):
        first = (ends - count)[count == length]
        if len(first):
            found[first] = chains(words, length)[first]
    return found[chosen], offsets.astype(np.uint64)


def chains(words: Hashes, n: int) -> Hashes:
    """Hashes of all runs of n words by their first word, `[words - n + 1]`; those into the next text are among them."""
    chain = np.zeros(len(words), np.uint64)
    for place in range(min(n, len(words) + 1)):
        chain = mixed(chain[: len(words) - place] ^ words[place:])
    return chain


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
