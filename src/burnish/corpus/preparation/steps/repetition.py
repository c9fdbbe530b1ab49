"""Gopher's rules of repetition (Rae 2021, arXiv:2112.11446, appendix A.1.2): lines, paragraphs and runs of words.

Notable choices:
- the rules are read text by text, in plain Python, and only of texts that could break one: for all others arrays give
  shares that the rules' own cannot exceed (which runs repeat what was said before is read from left to right and skips
  what it has counted, which no array operation does);
- equal parts and runs of words have equal hashes, so a collision could only make such a bound too large, never a
  verdict wrong.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from burnish.corpus.preparation.steps.spans import MIX, WHITE_SPACE, Flags, Hashes, Numbers, TextBytes, pieces
from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome, remove

_PARTS = (("paragraphs", 2, re.compile(r"\n{2,}")), ("lines", 1, re.compile(r"\n+")))
_WORD = re.compile(f"[^{WHITE_SPACE}]+")


class GopherRepetition(BatchStep):
    """Remove documents that repeat themselves. A limit is a share of the text's characters, or of its lines."""

    type: Literal["gopher_repetition"] = Field("gopher_repetition", description="gopher_repetition")
    max_repeated_lines: float = Field(0.3, ge=0, description="largest share of lines that were there before")
    max_repeated_paragraphs: float = Field(0.3, ge=0, description="largest share of paragraphs that were there before")
    max_repeated_line_characters: float = Field(0.2, ge=0, description="largest share of characters in such lines")
    max_repeated_paragraph_characters: float = Field(
        0.2, ge=0, description="largest share of characters in such paragraphs"
    )
    max_top_ngrams: dict[int, float] = Field(
        {2: 0.20, 3: 0.18, 4: 0.16},
        description="n: largest share of characters in all occurrences of the most frequent run of n words",
    )
    max_repeated_ngrams: dict[int, float] = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10},
        description="n: largest share of characters in runs of n words that were there before",
    )

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        texts = batch["text"]
        reasons: list[str | None] = [None] * batch.height
        details: list[str | None] = [None] * batch.height
        for place, found in pieces(texts):
            length = texts[place].str.len_chars().to_numpy().astype(np.int64).clip(1)
            for number in np.flatnonzero(self._suspects(found, length)).tolist():
                broken = next(self._broken(texts[place.start + number]), None)
                if broken is not None:
                    reasons[place.start + number], details[place.start + number] = broken[0], f"{broken[1]:.4f}"
        return remove(batch, pl.Series("reason", reasons, pl.String), pl.Series("detail", details, pl.String))

    def _broken(self, text: str) -> Iterator[tuple[str, float]]:
        """The rules that a text breaks, in their order, each with the share that is too large."""
        length = max(len(text), 1)
        limits = (
            (self.max_repeated_paragraphs, self.max_repeated_paragraph_characters),
            (self.max_repeated_lines, self.max_repeated_line_characters),
        )
        for (name, _, separator), (limit, limit_of_characters) in zip(_PARTS, limits, strict=True):
            parts = separator.split(text.strip(WHITE_SPACE))
            again = _repeated(parts)
            if (share := len(again) / len(parts)) > limit:
                yield f"repeated {name}", share
            if (share := sum(map(len, again)) / length) > limit_of_characters:
                yield f"characters in repeated {name}", share
        words = _WORD.findall(text)
        for n, limit in sorted(self.max_top_ngrams.items()):
            if len(words) >= n:
                (run, count), *_ = Counter(_runs(words, n)).most_common(1)
                if (share := count * (sum(map(len, run)) + n - 1) / length) > limit:
                    yield f"most frequent {n}-gram", share
        for n, limit in sorted(self.max_repeated_ngrams.items()):
            if (share := _repeated_characters(words, n) / length) > limit:
                yield f"repeated {n}-grams", share

    def _suspects(self, found: TextBytes, length: Numbers) -> Flags:
        """Which texts could break a rule, `[texts]`; no other does. length: their characters, at least 1."""
        suspect = np.zeros(found.count, np.bool_)
        limits = (
            (self.max_repeated_paragraphs, self.max_repeated_paragraph_characters),
            (self.max_repeated_lines, self.max_repeated_line_characters),
        )
        for (_, min_newlines, _), (limit, limit_of_characters) in zip(_PARTS, limits, strict=True):
            parts = found.parts(min_newlines=min_newlines)
            again = _again(_keys(found.hashes(parts), parts.texts, found.count))
            n_again = np.bincount(parts.texts[again], minlength=found.count)
            n_parts = np.bincount(parts.texts, minlength=found.count).clip(1)
            characters = np.bincount(parts.texts[again], found.lengths(parts)[again], found.count)
            suspect |= (n_again / n_parts > limit) | (characters / length > limit_of_characters)
        words = _Words(found)
        suspect |= words.often(self.max_top_ngrams, length)
        return suspect | words.repeated(self.max_repeated_ngrams, length)


class _Words:
    """The words of several texts, and bounds of what their runs repeat.

    hashes, lengths, texts: `[words]`; before: `[words + 1]`, the characters in the words before each.
    """

    def __init__(self, found: TextBytes) -> None:
        self.count = found.count
        self.texts = found.words.texts
        self.first = found.first_words
        self.lengths = found.lengths(found.words)
        self.before = np.concatenate([[0], np.cumsum(self.lengths)])
        self._hashes = {1: found.hashes(found.words)}

    def often(self, limits: dict[int, float], length: Numbers) -> Flags:
        """Which texts could have a run of n words whose occurrences are more than the share limits[n] of their length.

        A run occurs at most as often as the most frequent of the shorter ones, and is no longer than the longest.
        """
        suspect = np.zeros(self.count, np.bool_)
        most = np.diff(self.first)
        for n, limit in sorted(limits.items()):
            place = self._runs(n, np.ones(self.count, np.bool_))
            if not len(place):
                break
            sizes = self.before[place + n] - self.before[place] + n - 1
            texts, first = _groups(self.texts[place])
            longest = np.zeros(self.count, np.int64)
            longest[texts] = np.maximum.reduceat(sizes, first)
            open_ = ~suspect & (most * longest / length > limit)
            keys = self._keys(n, self._runs(n, open_))
            keys.sort()
            runs, of_run = _groups(keys)
            texts, first = _groups(self._text_of(runs))
            most[texts] = np.maximum.reduceat(np.diff(of_run, append=len(keys)), first) if len(keys) else 0
            for text in np.flatnonzero(open_ & (most * longest / length > limit)).tolist():
                mine = np.arange(self.first[text], self.first[text + 1] - n + 1)
                _, of_run, count = np.unique(self._keys(n, mine), return_index=True, return_counts=True)
                sizes = self.before[mine + n] - self.before[mine] + n - 1
                suspect[text] = (count * sizes[of_run]).max() / length[text] > limit
        return suspect

    def repeated(self, limits: dict[int, float], length: Numbers) -> Flags:
        """Which texts could have more than the share limits[n] of their length in runs of n words that repeat.

        Bounded by the words under any repeated run. What a repeated run of more words is over, repeated runs of fewer
        are too: a text stays open for the next n only if they are over enough for one of the limits that follow.
        """
        suspect = np.zeros(self.count, np.bool_)
        open_ = np.ones(self.count, np.bool_)
        for n, limit in sorted(limits.items()):
            place = self._runs(n, open_)
            again = place[_again(self._keys(n, place))]
            under = np.zeros(len(self.texts) + 1, np.int64)
            under += np.bincount(again, minlength=len(under)) - np.bincount(again + n, minlength=len(under))
            words = np.flatnonzero(np.cumsum(under))
            share = np.bincount(self.texts[words], self.lengths[words], self.count) / length
            suspect |= share > limit
            open_ &= ~suspect & (share > min(limits[m] for m in limits if m >= n))
        return suspect

    def _runs(self, n: int, wanted: Flags) -> Numbers:
        """The first words of all runs of n words in texts that are `wanted`."""
        last = max(len(self.texts) - n + 1, 0)
        return np.flatnonzero((self.texts[:last] == self.texts[n - 1 :][:last]) & wanted[self.texts[:last]])

    def _keys(self, n: int, place: Numbers) -> Hashes:
        """A number for each run by its first word; equal runs of a text have equal ones."""
        return _keys(self._chains(n)[place], self.texts[place], self.count)

    def _chains(self, n: int) -> Hashes:
        """Hashes of all runs of n words, by their first word, those that reach into the next text too."""
        if n not in self._hashes:
            last = max(len(self.texts) - n + 1, 0)
            self._hashes[n] = self._chains(n - 1)[:last] * MIX + self._hashes[1][n - 1 :]
        return self._hashes[n]

    def _text_of(self, keys: Hashes) -> Numbers:
        return (keys >> np.uint64(64 - _text_bits(self.count))).astype(np.int64)


def _text_bits(count: int) -> int:
    return max(int(count).bit_length(), 1)


def _keys(hashes: Hashes, texts: npt.NDArray[np.int32], count: int) -> Hashes:
    """Hashes that are of one text each: its number in the highest bits."""
    bits = _text_bits(count)
    return (texts.astype(np.uint64) << np.uint64(64 - bits)) | (hashes >> np.uint64(bits))


def _again(keys: Hashes) -> Flags:
    """Whether each of the keys stands before."""
    order = np.argsort(keys, kind="stable")
    again = np.zeros(len(keys), np.bool_)
    again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return again


def _groups(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Numbers]:
    """The different ones of sorted values, and where each begins."""
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.zeros(0, int)
    return values[first], first


def _runs(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[place:] for place in range(n)), strict=False)


def _repeated(parts: Sequence[str]) -> list[str]:
    """The parts that were there before."""
    known: set[str] = set()
    again = []
    for part in parts:
        if part in known:
            again.append(part)
        known.add(part)
    return again


def _repeated_characters(words: Sequence[str], n: int) -> int:
    """Characters, without spaces, in runs of n words that were there before, from left to right.

    What has been counted is skipped.
    """
    runs = list(_runs(words, n))
    known: set[tuple[str, ...]] = set()
    total = place = 0
    while place < len(runs):
        if runs[place] in known:
            total += sum(map(len, runs[place]))
            place += n
        else:
            known.add(runs[place])
            place += 1
    return total
