"""How many rows of what: spread over methods and documents, and drawn by hashes alone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from burnish.synthesis.rows import Pair, place

FEW_DOCUMENTS = 10
"""With fewer documents, held out are chunks instead: a tenth of three documents would be none."""


def capped(pairs: Iterable[Pair], per_method: int | None) -> tuple[list[Pair], list[Pair]]:
    """Of each method at most so many, those whose hashes are the smallest, in their order; and the others."""
    pairs = list(pairs)
    if per_method is None:
        return pairs, []
    by_method: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_method[pair.source.method].append(pair)
    chosen = {id(pair) for of_method in by_method.values() for pair in sorted(of_method, key=_rank)[:per_method]}
    return [pair for pair in pairs if id(pair) in chosen], [pair for pair in pairs if id(pair) not in chosen]


def spread(pairs: Sequence[Pair], n: int | None) -> list[Pair]:
    """`n` of the pairs: one of each method in turn, and within a method one of each document in turn."""
    if n is None or len(pairs) <= n:
        return list(pairs)
    by_method: dict[str, dict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in sorted(pairs, key=_rank):
        by_method[pair.source.method][pair.source.document].append(pair)
    orders = [_in_turn(list(documents.values())) for documents in by_method.values()]
    chosen = {id(pair) for pair in _in_turn(orders)[:n]}
    return [pair for pair in pairs if id(pair) in chosen]


def held_out(chunks: Sequence[tuple[str, int]], share: float, *, by_chunk: bool) -> set[tuple[str, int]]:
    """Of chunks, each a document and a number, those of the held-out documents, or with `by_chunk` the held-out ones.

    Held out are the units with the smallest hashes, at least one: so adding documents moves only a few others.
    """
    units = sorted({one if by_chunk else one[:1] for one in chunks}, key=lambda unit: place("heldout", *unit))
    n = min(max(1, round(share * len(units))), len(units) - 1) if share else 0
    held = set(units[: max(n, 0)])
    return {one for one in chunks if (one if by_chunk else one[:1]) in held}


def _rank(pair: Pair) -> int:
    return place(pair.source.document, pair.question)


def _in_turn(groups: Sequence[Sequence[Pair]]) -> list[Pair]:
    return [pair for of_turn in zip_longest(*groups) for pair in of_turn if pair is not None]
