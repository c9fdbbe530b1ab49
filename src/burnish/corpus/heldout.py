"""The held-out part of a corpus: the share of its text that was asked for, chosen by content alone.

Notable choices:
- the share is one of size (tokens, in a corpus), not of documents: three long ones of twenty may be half of the text;
- what is held out are the pieces of text with the smallest hashes, so neither the order of reading nor the names of
  files matter, and adding documents moves only text whose hash is near the limit;
- a document larger than an eighth of what is to be held out is cut at paragraphs, and its pieces are chosen one by one.
  So one manual of forty pages can be learned and measured, the measure stands on several places of it, and the share is
  met. Documents are left whole where there are enough of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from typing import NamedTuple

from burnish.corpus.clean import cut_text
from burnish.corpus.deduplicate import content_hash
from burnish.corpus.documents import Document
from burnish.errors import DataError

PIECES = 8
"""Pieces of which the held-out text has about at least so many."""
MIN_PIECE = 16
"""Smallest limit on a piece, in units of size: fewer tokens say nothing about a model."""


class Split(NamedTuple):
    """Documents to train on and documents to measure on. cut: how many documents have parts on both sides."""

    train: list[Document]
    heldout: list[Document]
    cut: int


class _Piece(NamedTuple):
    document: int
    text: str
    size: int


def split_heldout(documents: Sequence[Document], *, fraction: float, size: Callable[[str], int] = len) -> Split:
    """Hold out the share `fraction` of the documents' size: none for 0, else at least one piece.

    The held-out size is off by at most a sixteenth of what was asked for, or by `MIN_PIECE` where that is more. Parts
    of document `a` are called `a#1`, `a#2` and so on. A text too small to be parted is trained on.

    size: of a text, in the unit that the share is taken of.

    Raises:
        DataError: the fraction is not in [0, 1).
    """
    if not 0 <= fraction < 1:
        raise DataError(f"the held-out fraction is {fraction}; expected 0 or more, less than 1")
    if fraction == 0:
        return Split(list(documents), [], 0)
    sizes = [size(document.text) for document in documents]
    target = fraction * sum(sizes)
    limit = max(MIN_PIECE, min(target, sum(sizes) - target) / PIECES)
    pieces = [
        _Piece(number, text, size_of_text)
        for number, (document, whole) in enumerate(zip(documents, sizes, strict=True))
        for text, size_of_text in _cut(document.text, whole, limit, size)
    ]
    chosen = _smallest_hashes(pieces, target, [_rank(document) for document in documents])
    train: list[Document] = []
    heldout: list[Document] = []
    cut = 0
    numbered = groupby(enumerate(pieces), key=lambda item: item[1].document)
    for number, of_document in numbered:
        runs = [
            (held, "".join(piece.text for _, piece in run).strip("\n"))
            for held, run in groupby(of_document, key=lambda item: item[0] in chosen)
        ]
        document = documents[number]
        cut += len(runs) > 1
        for part, (held, text) in enumerate(runs, start=1):
            if len(runs) == 1:
                (heldout if held else train).append(document)
            elif text.strip():
                (heldout if held else train).append(replace(document, id=f"{document.id}#{part}", text=text))
    return Split(train, heldout, cut)


def _cut(text: str, size_of_text: int, limit: float, size: Callable[[str], int]) -> list[tuple[str, int]]:
    """A text in pieces no larger than `limit`, each with its size, cut where possible between paragraphs."""
    if size_of_text <= limit or len(text) < 2:
        return [(text, size_of_text)]
    characters = max(1, int(len(text) * limit / size_of_text))
    found = [part for piece in cut_text(text, characters) for part in _cut(piece, size(piece), limit, size)]
    # White space alone is nothing to train on or to measure.
    return [part for part in found if part[0].strip()] or [(text, size_of_text)]


def _smallest_hashes(pieces: Sequence[_Piece], target: float, ranks: Sequence[tuple[str, str, str]]) -> set[int]:
    """The numbers of the pieces to hold out: by their hashes, as many as come closest to `target`, but not all."""
    order = sorted(
        range(len(pieces)), key=lambda number: (_place(pieces[number].text), ranks[pieces[number].document], number)
    )
    reached = list(accumulate(pieces[number].size for number in order))[:-1]
    if not reached:
        return set()
    count = 1 + min(range(len(reached)), key=lambda last: abs(reached[last] - target))
    return set(order[:count])


def _place(text: str) -> bytes:
    """Bytes, uniform over texts and fixed by the text."""
    return content_hash(text, purpose=b"heldout")


def _rank(document: Document) -> tuple[str, str, str]:
    return document.id, document.source, document.text
