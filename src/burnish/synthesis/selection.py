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


Unit = tuple[str] | tuple[str, int]
"""A document, or a chunk of one."""


def unit(document: str, chunk: int, *, by_chunk: bool) -> Unit:
    """What a chunk is held out with: its document, or with `by_chunk` only itself."""
    return (document, chunk) if by_chunk else (document,)


def held_out(units: Iterable[Unit], share: float) -> set[Unit]:
    """The share of the units with the smallest hashes, at least one but not all: others move few of them."""
    ordered = sorted(set(units), key=lambda one: place("heldout", *one))
    n = min(max(1, round(share * len(ordered))), len(ordered) - 1) if share else 0
    return set(ordered[: max(n, 0)])


def _rank(pair: Pair) -> int:
    return place(pair.source.document, pair.question)


def _in_turn(groups: Sequence[Sequence[Pair]]) -> list[Pair]:
    return [pair for of_turn in zip_longest(*groups) for pair in of_turn if pair is not None]
