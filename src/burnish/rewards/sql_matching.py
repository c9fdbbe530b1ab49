"""Rows with partners: whether points can be given to boxes one to one, each point inside its box.

Being within a tolerance is no equivalence, so rows of floating-point numbers cannot be compared by sorting or hashing
alone. In one dimension a greedy choice is a proof (Glover 1967, "Maximum matching in a convex bipartite graph"); in
several it is a flow through the pairs that fit (Dinic 1970), which are few where boxes are as small as rounding errors.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

Number = int | float | Decimal
Interval = tuple[Number, Number]
Box = tuple[Interval, ...]
Point = tuple[Number, ...]

MAX_PAIRS = 200_000
"""Pairs of different rows that are looked through, so that comparing takes seconds at most."""


def inside(point: Point, box: Box) -> bool:
    """Whether each number lies in its interval, ends included."""
    return all(low <= number <= high for number, (low, high) in zip(point, box, strict=True))


def one_to_one(boxes: Sequence[Box], points: Sequence[Point]) -> bool:
    """Whether every box can have a point of its own. There are as many points as boxes, of the same dimension.

    More than `MAX_PAIRS` possible pairs are not searched: False, unless pairing in the order of values succeeds.
    """
    dimensions = len(boxes[0]) if boxes else 0
    if dimensions == 0:
        return True
    if dimensions == 1:
        return _one_to_one_on_a_line([box[0] for box in boxes], [point[0] for point in points])
    if all(map(inside, sorted(points), sorted(boxes))):
        return True
    # Equal rows are one with a count, so that many duplicates do not make many pairs.
    needs, gives = Counter(boxes), Counter(points)
    choices = _choices(list(needs), list(gives))
    return choices is not None and _saturates(list(needs.values()), list(gives.values()), choices)


def _one_to_one_on_a_line(intervals: Sequence[Interval], numbers: Sequence[Number]) -> bool:
    """Each number, from the smallest on, takes the open interval that ends first."""
    waiting = sorted(intervals, reverse=True)
    open_ends: list[Number] = []
    for number in sorted(numbers):
        while waiting and waiting[-1][0] <= number:
            heapq.heappush(open_ends, waiting.pop()[1])
        if not open_ends or heapq.heappop(open_ends) < number:
            return False
    return True


def _choices(boxes: Sequence[Box], points: Sequence[Point]) -> list[list[int]] | None:
    """For each box the indices of the points inside; None where some box has none, or where there are too many."""
    best: tuple[int, list[tuple[int, int]], list[int]] | None = None
    for axis in range(len(boxes[0])):
        order = sorted(range(len(points)), key=lambda index, axis=axis: points[index][axis])  # type: ignore[misc]
        line = [points[index][axis] for index in order]
        ranges = [(bisect_left(line, box[axis][0]), bisect_right(line, box[axis][1])) for box in boxes]
        total = sum(end - start for start, end in ranges)
        if best is None or total < best[0]:
            best = total, ranges, order
    assert best is not None
    total, ranges, order = best
    if total > MAX_PAIRS:
        return None
    found = [
        [index for index in order[start:end] if inside(points[index], box)]
        for box, (start, end) in zip(boxes, ranges, strict=True)
    ]
    return found if all(found) else None


def _saturates(needs: Sequence[int], gives: Sequence[int], choices: Sequence[Sequence[int]]) -> bool:
    """Whether box `i` can get `needs[i]` units from its choices, of which point `j` has `gives[j]`."""
    missing, left = list(needs), list(gives)
    taken: list[dict[int, int]] = [{} for _ in gives]  # of each point: how many units went to which box
    while any(missing):
        levels = _levels(missing, left, taken, choices)
        if levels is None:
            return False
        moves = [_moves(box, left, taken, choices[box], levels) for box in range(len(needs))]
        for box in range(len(needs)):
            while missing[box] and (units := _augment(box, missing[box], left, taken, moves)):
                missing[box] -= units
    return True


def _levels(
    missing: Sequence[int], left: Sequence[int], taken: Sequence[dict[int, int]], choices: Sequence[Sequence[int]]
) -> dict[int, int] | None:
    """For each box how many exchanges away it is from one that lacks units; None where no free unit can be reached."""
    levels = {box: 0 for box, count in enumerate(missing) if count}
    order, seen, reached = list(levels), set[int](), False
    for box in order:
        for point in choices[box]:
            if point not in seen:
                seen.add(point)
                reached = reached or left[point] > 0
                for other in taken[point]:
                    if other not in levels:
                        levels[other] = levels[box] + 1
                        order.append(other)
    return levels if reached else None


def _moves(
    box: int, left: list[int], taken: list[dict[int, int]], choices: Sequence[int], levels: dict[int, int]
) -> Iterator[tuple[int, int | None]]:
    """Where units for a box may come from: a point that has some left, or one that another box gives up."""
    for point in choices:
        if left[point]:
            yield point, None
        for other in list(taken[point]):
            if levels.get(other, -1) == levels[box] + 1 and other in taken[point]:
                yield point, other


def _augment(
    start: int,
    wanted: int,
    left: list[int],
    taken: list[dict[int, int]],
    moves: list[Iterator[tuple[int, int | None]]],
) -> int:
    """Bring up to `wanted` units to a box by a chain of exchanges, and return how many; 0 where there is no chain."""
    chain: list[tuple[int, int]] = []  # (box, the point that it takes units of)
    box = start
    while (move := next(moves[box], None)) is not None or chain:
        if move is None:
            box, _ = chain.pop()
            continue
        point, other = move
        chain.append((box, point))
        if other is not None:
            box = other
            continue
        exchanges = [(source, giver) for (_, source), (giver, _) in pairwise(chain)]
        units = min(wanted, left[point], *(taken[source].get(giver, 0) for source, giver in exchanges))
        left[point] -= units
        for source, giver in exchanges:
            taken[source][giver] -= units
            if not taken[source][giver]:
                del taken[source][giver]
        for receiver, source in chain:
            taken[source][receiver] = taken[source].get(receiver, 0) + units
        return units
    return 0
