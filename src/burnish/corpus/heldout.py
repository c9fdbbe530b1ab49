"""The held-out part of a corpus: the share of its text that was asked for, chosen by content alone.

Notable choices:
- the share is one of size (tokens, in a corpus), not of documents: three long ones of twenty may be half of the text;
- what is held out are the pieces of text with the smallest hashes, so neither the order of reading nor the names of
  files matter, and adding documents moves only text whose hash is near the limit;
- a document larger than an eighth of what is to be held out is cut at paragraphs, and its pieces are chosen one by one.
  So one manual of forty pages can be learned and measured, the measure stands on several places of it, and the share is
  met. Documents are left whole where there are enough of them.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice

from burnish.corpus.clean import cut_text
from burnish.corpus.spool import Spool
from burnish.errors import DataError

PIECES = 8
"""Pieces of which the held-out text has about at least so many."""
MIN_PIECE = 16
"""Smallest limit on a piece, in units of size: fewer tokens say nothing about a model."""


def hold_out(spool: Spool, group: int, *, fraction: float, size: Callable[[str], int]) -> int:
    """Part a group of the spool: hold out the share `fraction` of its size, none for 0, else at least one piece.

    The held-out size is off by at most a sixteenth of what was asked for, or by `MIN_PIECE` where that is more. A text
    too small to be parted is trained on. Returns how many documents have parts on both sides.

    size: of a text, in the unit that the spool knows the sizes of its documents in.

    Raises:
        DataError: the fraction is not in [0, 1).
    """
    if not 0 <= fraction < 1:
        raise DataError(f"the held-out fraction is {fraction}; expected 0 or more, less than 1")
    if fraction > 0:
        total = spool.total(group)
        target = fraction * total
        limit = max(MIN_PIECE, min(target, total - target) / PIECES)
        for number, text, of_text in spool.larger(group, limit):
            pieces = _cut(text, of_text, limit, size)
            if len(pieces) > 1:
                spool.parts.add_pieces(number, pieces)
        count = _how_many((size for _, _, size in spool.parts.by_hash(group)), spool.parts.n_pieces(group), target)
        spool.parts.hold_out((number, place) for number, place, _ in islice(spool.parts.by_hash(group), count))
    spool.parts.part_whole_documents(group)
    cut = 0
    for number in spool.parts.cut_documents(group):
        parts = list(_parts(spool.parts.pieces(number)))
        cut += len(parts) > 1
        spool.parts.add_parts(number, parts)
    return cut


def _parts(pieces: Iterable[tuple[bool, str]]) -> Iterator[tuple[int, bool, str | None]]:
    """The parts that pieces of a document make: number, whether it is held out, and text; None for the whole document.

    Pieces side by side on the same side are one part; parts of white space alone are none.
    """
    runs = [
        (held, "".join(text for _, text in run).strip("\n")) for held, run in groupby(pieces, key=lambda item: item[0])
    ]
    if len(runs) == 1:
        yield 0, runs[0][0], None
        return
    for number, (held, text) in enumerate(runs, start=1):
        if text.strip():
            yield number, held, text


def _cut(text: str, size_of_text: int, limit: float, size: Callable[[str], int]) -> list[tuple[str, int]]:
    """A text in pieces no larger than `limit`, each with its size, cut where possible between paragraphs."""
    if size_of_text <= limit or len(text) < 2:
        return [(text, size_of_text)]
    characters = max(1, int(len(text) * limit / size_of_text))
    found = [part for piece in cut_text(text, characters) for part in _cut(piece, size(piece), limit, size)]
    # White space alone is nothing to train on or to measure.
    return [part for part in found if part[0].strip()] or [(text, size_of_text)]


def _how_many(sizes: Iterable[int], count: int, target: float) -> int:
    """How many of `count` sizes, from the first on, come closest to `target` together: one at least, but not all."""
    best, chosen, reached = float("inf"), 0, 0
    for number, size in enumerate(islice(sizes, max(count - 1, 0)), start=1):
        reached += size
        if abs(reached - target) < best:
            best, chosen = abs(reached - target), number
        if reached >= target:
            break
    return chosen
