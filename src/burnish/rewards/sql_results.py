"""Results of queries, and when two of them say the same."""

import datetime
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9  # around zero, where a sum that cancels is noise and no relative tolerance helps


@dataclass(frozen=True)
class Result:
    """What a query returned, or `error`: why it returned nothing. `seconds` is its time in the worker."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: str | None = None
    seconds: float = 0.0


def results_equal(a: Result, b: Result, *, ordered: bool) -> bool:
    """Whether two results hold the same values.

    Values are compared by position and column names ignored. NULL equals NULL and NaN equals NaN; numbers are
    compared across types, exactly in a column that holds integers only and else within a relative tolerance of 1e-6;
    a date equals midnight of its day. Rows are compared as a list when `ordered`, else as a multiset. A result with
    an error equals none.
    """
    if a.error is not None or b.error is not None:
        return False
    if len(a.rows) != len(b.rows) or len(a.columns) != len(b.columns):
        return False
    columns = [_canonical_column([row[position] for row in (*a.rows, *b.rows)]) for position in range(len(a.columns))]
    rows = list(zip(*columns, strict=True))
    left, right = rows[: len(a.rows)], rows[len(a.rows) :]
    return left == right if ordered else Counter(left) == Counter(right)


def _canonical_column(values: Sequence[Any]) -> list[object]:
    """`values` as hashable objects of which two are equal exactly when the values count as equal.

    Comparing within a tolerance is no equivalence, so multisets cannot be compared pair by pair in any cheap and fair
    way. Instead the numbers of a column, of both results together, are sorted and cut wherever two neighbours differ by
    more than the tolerance; each number is then replaced by the piece it lies in, and from there on equality is exact.
    """
    numbers = [number for value in values for number in _numbers(value)]
    if all(isinstance(number, int) for number in numbers):
        return [_canonical(value, None) for value in values]
    pieces: dict[float, int] = {}
    previous = None
    for number in sorted({_float(number) for number in numbers}):
        apart = previous is None or not math.isclose(
            number, previous, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE
        )
        pieces[number] = len(pieces) if apart or previous is None else pieces[previous]
        previous = number
    return [_canonical(value, pieces) for value in values]


def _numbers(value: Any) -> Iterator[int | float | Decimal]:
    """All numbers in a value, also those inside lists and maps; NaN is none, since it cannot be sorted."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(key)
            yield from _numbers(item)
    elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) and not math.isnan(value):
        yield value


def _float(number: int | float | Decimal) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def _canonical(value: Any, pieces: dict[float, int] | None) -> object:
    """`value` as a hashable object, its numbers replaced by their pieces (by themselves where there are none)."""
    if isinstance(value, bool):
        return ("bool", value)  # True is not the number 1
    if isinstance(value, (int, float, Decimal)):
        if math.isnan(value):
            return ("nan",)
        return ("number", value if pieces is None else pieces[_float(value)])
    if isinstance(value, (list, tuple)):
        return ("list", tuple(_canonical(item, pieces) for item in value))
    if isinstance(value, dict):
        items = ((_canonical(key, pieces), _canonical(item, pieces)) for key, item in value.items())
        return ("map", frozenset(items))
    if isinstance(value, datetime.datetime):
        return ("moment", value)
    if isinstance(value, datetime.date):
        return ("moment", datetime.datetime(value.year, value.month, value.day))
    return (type(value).__name__, value)
