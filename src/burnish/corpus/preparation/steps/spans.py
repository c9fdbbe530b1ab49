"""Words and lines of all texts of a batch as spans of one buffer of bytes, found and hashed by arrays.

A word is a run of characters that are not white space (Unicode's `White_Space`, as `\\S+` of Polars' expressions).

Notable choices:
- texts lie one behind the other in UTF-8, each with a line end behind it, so that no span reaches into the next text;
- nothing becomes a Python string: a word is eight bytes at a time of its hash, whatever its language;
- hashes of equal spans are equal; different ones agree by chance once in 10^19. Whoever must be exact reads the text;
- callers go through a batch in `pieces`, whose arrays stay in the processor's cache: on 8 MB at once the same
  operations took four times as long, most of it for new pages.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

MIX = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xBF58476D1CE4E5B9)
_NEWLINE = 10
WHITE_SPACE = "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029)))
WHITE_SPACE += "\u202f\u205f\u3000"
"""The characters that are `White_Space` in Unicode; Python's `str.isspace` has four more."""
_ASCII_SPACE = np.isin(np.arange(256), [ord(character) for character in WHITE_SPACE if ord(character) < 128])
_ASCII_LETTER = np.isin(np.arange(256), [*range(65, 91), *range(97, 123)])
_WIDE = [character.encode() for character in WHITE_SPACE if ord(character) >= 128]
_FIRST_WIDE = min(character[0] for character in _WIDE)
_PAIRS, _TRIPLES = ([int.from_bytes(one, "big") for one in _WIDE if len(one) == n] for n in (2, 3))
PIECE_BYTES = 1 << 19
"""Text whose arrays stay in the cache."""
_LONG = 512
"""Bytes of a span from which it is hashed by itself: arrays would take a turn for every eight bytes of the longest."""
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(8)] + [2**64 - 1], dtype=np.uint64)


@dataclass(frozen=True)
class Spans:
    """Spans of bytes, in the order of texts. starts, ends, texts: `[spans]`; the last has the number of each's text."""

    starts: Numbers
    ends: Numbers
    texts: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts)


class TextBytes:
    """The texts of a batch as bytes. buffer: `[bytes]`; offsets: `[texts + 1]`, where each text begins."""

    def __init__(self, texts: pl.Series) -> None:
        array = (texts.fill_null("") + "\n").rechunk().to_arrow()
        array = array.chunk(0) if hasattr(array, "chunk") else array
        _, offsets, data = array.cast("large_string").buffers()
        self.count = len(texts)
        self.offsets: Numbers = np.frombuffer(offsets, np.int64, self.count + 1)
        size = int(self.offsets[-1]) if self.count else 0
        self.buffer: Bytes = np.frombuffer(data, np.uint8, size) if size else np.zeros(0, np.uint8)

    @cached_property
    def ascii(self) -> bool:
        """Whether each character is a byte."""
        return not len(self.buffer) or int(self.buffer.max()) < 0x80

    @cached_property
    def space(self) -> Flags:
        """Which bytes are white space, `[bytes]`."""
        space = _ASCII_SPACE[self.buffer]
        if not self.ascii:
            wide = np.flatnonzero(self.buffer >= _FIRST_WIDE)  # each text ends with a line end: two bytes follow or one
            second = self.buffer[wide + 1].astype(np.int32)
            third = self.buffer[np.minimum(wide + 2, len(self.buffer) - 1)]
            pair = (self.buffer[wide].astype(np.int32) << 8) | second
            for length, found in ((2, np.isin(pair, _PAIRS)), (3, np.isin((pair << 8) | third, _TRIPLES))):
                for place in range(length):
                    space[wide[found] + place] = True
        return space

    @cached_property
    def words(self) -> Spans:
        """The words of all texts."""
        # Each text ends with a line end, so the first byte that is a word's is behind a space or is the first of all.
        edges = np.flatnonzero(self.space[1:] != self.space[:-1]) + 1
        if len(self.buffer) and not self.space[0]:
            edges = np.concatenate([[0], edges])
        return self._of_texts(edges[::2], edges[1::2])

    @cached_property
    def n_words(self) -> Numbers:
        """How many words each text has, `[texts]`."""
        return np.bincount(self.words.texts, minlength=self.count)

    @cached_property
    def first_words(self) -> Numbers:
        """The number of each text's first word, and behind the last how many there are, `[texts + 1]`."""
        return np.concatenate([[0], np.cumsum(self.n_words)])

    def lengths(self, spans: Spans) -> Numbers:
        """The characters of each span, `[spans]`."""
        n_bytes = spans.ends - spans.starts
        if self.ascii or not len(spans):
            return n_bytes
        # A byte that continues a character is of the last span that begins before it, or of none.
        further = np.flatnonzero((self.buffer & 0xC0) == 0x80)
        owner = np.searchsorted(spans.starts, further, side="right") - 1
        inside = (owner >= 0) & (further < spans.ends[owner])
        return n_bytes - np.bincount(owner[inside], minlength=len(spans))

    def parts(self, *, min_newlines: int) -> Spans:
        """The pieces of texts between so many line ends or more; white space at a text's both ends is of none."""
        newline = self.buffer == _NEWLINE
        if min_newlines > 1:
            apart = np.flatnonzero(newline[1:] & newline[:-1])
            newline = np.zeros_like(newline)
            newline[apart] = newline[apart + 1] = True
            newline[self.offsets[1:] - 1] = True
        edges = np.flatnonzero(newline[1:] != newline[:-1]) + 1
        if len(self.buffer) and not newline[0]:
            edges = np.concatenate([[0], edges])
        spans = self._of_texts(edges[::2], edges[1::2])
        low, high = self._stripped
        starts, ends = np.maximum(spans.starts, low[spans.texts]), np.minimum(spans.ends, high[spans.texts])
        inside = starts < ends
        return Spans(starts[inside], ends[inside], spans.texts[inside])

    def hashes(self, spans: Spans) -> Hashes:
        """A number for each span that depends on its bytes alone, `[spans]`."""
        padded = np.concatenate([self.buffer, np.zeros(8, np.uint8)])
        eights = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))
        left = spans.ends - spans.starts
        state = left.astype(np.uint64) * MIX
        state = mixed(state ^ (eights[spans.starts] & _MASKS[np.minimum(left, 8)]))
        place, longer = 8, np.flatnonzero((left > 8) & (left <= _LONG))
        while len(longer):
            taken = eights[spans.starts[longer] + place] & _MASKS[np.minimum(left[longer] - place, 8)]
            state[longer] = mixed(state[longer] ^ taken)
            place += 8
            longer = longer[left[longer] > place]
        for long in np.flatnonzero(left > _LONG):
            data = self.buffer[spans.starts[long] : spans.ends[long]]
            state[long] = int.from_bytes(hashlib.blake2b(data.tobytes(), digest_size=8).digest(), "little")
        return state

    def with_letter(self, spans: Spans) -> Flags:
        """Whether each span has a letter of any script, `[spans]`."""
        found: Flags = _ASCII_LETTER[self.buffer[spans.starts]]
        rest = np.flatnonzero(~found)
        left = (spans.ends - spans.starts)[rest]
        for place in range(1, min(int(left.max(initial=0)), 4)):
            rest, left = rest[left > place], left[left > place]
            found[rest] |= _ASCII_LETTER[self.buffer[spans.starts[rest] + place]]
        rest = np.flatnonzero(~found)
        some = Spans(spans.starts[rest], spans.ends[rest], spans.texts[rest])
        _, first, inverse = np.unique(self.hashes(some), return_index=True, return_inverse=True)
        words = [self.buffer[some.starts[at] : some.ends[at]].tobytes().decode() for at in first.tolist()]
        found[rest] = pl.Series(words, dtype=pl.String).str.contains(r"\p{L}").to_numpy()[inverse]
        return found

    def is_at(self, wanted: bytes, starts: Numbers) -> Flags:
        """Whether some bytes stand at each of the places; what lies before the buffer is nothing."""
        found = (starts >= 0) & (starts + len(wanted) <= len(self.buffer))
        for place, byte in enumerate(wanted):
            found[found] = self.buffer[starts[found] + place] == byte
        return found

    @cached_property
    def _stripped(self) -> tuple[Numbers, Numbers]:
        """Where each text's first word begins and its last one ends; nothing for one without words."""
        low = np.zeros(self.count, np.int64)
        high = np.zeros(self.count, np.int64)
        some = self.n_words > 0
        low[some] = self.words.starts[self.first_words[:-1][some]]
        high[some] = self.words.ends[self.first_words[1:][some] - 1]
        return low, high

    def _of_texts(self, starts: Numbers, ends: Numbers) -> Spans:
        before = np.searchsorted(starts, self.offsets)
        return Spans(starts, ends, np.repeat(np.arange(self.count, dtype=np.int32), np.diff(before)))


def mixed(numbers: Hashes) -> Hashes:
    """Each number spread over all bits (the finalizer of SplitMix64): a bijection, so that order matters in a chain."""
    with np.errstate(over="ignore"):
        numbers = numbers + MIX
        numbers ^= numbers >> np.uint64(30)
        numbers *= _SPREAD
        numbers ^= numbers >> np.uint64(27)
        numbers *= np.uint64(0x94D049BB133111EB)
        numbers ^= numbers >> np.uint64(31)
        return numbers


def pieces(texts: pl.Series) -> Iterator[tuple[slice, TextBytes]]:
    """The texts in runs of about `PIECE_BYTES`, or one that is longer: where they are, and their bytes."""
    ends = texts.str.len_bytes().fill_null(0).cum_sum().to_numpy()
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PIECE_BYTES, side="right")))
        yield slice(start, stop), TextBytes(texts[start:stop])
        start = stop
