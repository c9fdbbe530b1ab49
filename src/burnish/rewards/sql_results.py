"""Results of queries, and when an answer's says the same as the expected one's.

The types of the expected result decide how strictly it is compared: whole numbers, DECIMAL, booleans, dates, text and
all else are exact; floating-point values may differ by what another order of adding changes.
"""

import datetime
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from burnish.rewards.sql_matching import Box, Interval, Number, Point, inside, one_to_one

DOUBLE_TOLERANCE = 1e-9
"""Relative. Sums, averages, deviations and slopes over 336,776 rows in eight orders were within 1e-11 of each other."""
FLOAT_TOLERANCE = 4 * 2.0**-23
"""Relative, for columns of 32-bit floating point (REAL): four units in the last place."""
NOISE = 1e-12
"""Where a difference that should be zero may end up: 2e-13 was seen in the mean of 336,776 residuals."""
_INFINITE = (math.inf, -math.inf)
_EXACT_WHOLE = 2.0**53  # up to here every whole number is a double

_Path = tuple[object, ...]


@dataclass(frozen=True)
class Result:
    """What a query returned, or `error`: why it returned nothing.

    seconds: processor time in the worker. types: DuckDB's names of the columns' types, empty where unknown.
    timed_out: whether the error is the limit on processor time. hung: whether the machine was too busy to run it.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: str | None = None
    seconds: float = 0.0
    types: tuple[str, ...] = ()
    timed_out: bool = False
    hung: bool = False


def results_equal(answer: Result, gold: Result, *, ordered: bool) -> bool:
    """Whether `answer` holds the values of `gold`, the expected result.

    Values are compared by position and column names ignored; NULL equals NULL and NaN equals NaN; a date equals
    midnight of its day. Numbers are compared across types by exact value, unless the gold value is floating point:

    - then 1e-9 of it may lie between (4.8e-7 in a REAL column), but never 0.5 where it is a whole number below 2^53,
      so that an identifier stored as DOUBLE stays one;
    - and for a gold value below 1e-12 zero and what lies as close on its other side is the same, since a sum that
      cancels leaves noise.

    Rows are compared as a list when `ordered`, else one to one in any order: each gold row has a row of the answer as
    its own partner. A result with an error equals none. Where thousands of different rows lie so close together that
    more than 200,000 pairs are possible, only pairing in the order of values is tried.
    """
    if answer.error is not None or gold.error is not None:
        return False
    if len(answer.rows) != len(gold.rows) or len(answer.columns) != len(gold.columns):
        return False
    floating: set[_Path] = set()
    for row in gold.rows:
        for column, value in enumerate(row):
            floating.update(_floating_paths(value, (column,)))
    tolerances = [_tolerance(gold.types[column : column + 1]) for column in range(len(gold.columns))]
    expected = [_box(row, floating, tolerances) for row in gold.rows]
    given = [_point(row, floating) for row in answer.rows]
    if ordered:
        return all(
            shape == other and inside(point, box) for (shape, box), (other, point) in zip(expected, given, strict=True)
        )
    groups: defaultdict[object, tuple[list[Box], list[Point]]] = defaultdict(lambda: ([], []))
    for shape, box in expected:
        groups[shape][0].append(box)
    for shape, point in given:
        groups[shape][1].append(point)
    # The cheap refusals first: a group without as many partners needs no search in any other.
    if any(len(boxes) != len(points) for boxes, points in groups.values()):
        return False
    return all(one_to_one(boxes, points) for boxes, points in groups.values())


def _tolerance(types: Sequence[str]) -> float:
    """The relative tolerance of a column; of a nested type that holds both kinds of float the stricter one."""
    names = set(re.findall(r"\w+", types[0])) if types else set()
    return FLOAT_TOLERANCE if "FLOAT" in names and "DOUBLE" not in names else DOUBLE_TOLERANCE


def _floating_paths(value: Any, path: _Path) -> Iterator[_Path]:
    """Where in a value there are floating-point numbers; all items of a list are one place."""
    if isinstance(value, float):
        yield path
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _floating_paths(item, (*path, "item"))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _floating_paths(item, _entry(path, key))


def _entry(path: _Path, key: object) -> _Path:
    """The place of a struct's field or a map's value: by name, else all values of the map are one place."""
    return (*path, "entry", key if isinstance(key, str) else None)


def _box(row: Sequence[Any], floating: set[_Path], tolerances: Sequence[float]) -> tuple[object, Box]:
    """A gold row as its exact part and the intervals in which the numbers at floating places may lie."""
    numbers: list[tuple[int, Number]] = []
    shape = tuple(_shape(value, (column,), floating, numbers) for column, value in enumerate(row))
    return shape, tuple(_interval(number, tolerances[column]) for column, number in numbers)


def _point(row: Sequence[Any], floating: set[_Path]) -> tuple[object, Point]:
    """A row of an answer as its exact part and the numbers at floating places."""
    numbers: list[tuple[int, Number]] = []
    shape = tuple(_shape(value, (column,), floating, numbers) for column, value in enumerate(row))
    return shape, tuple(number for _, number in numbers)


def _shape(value: Any, path: _Path, floating: set[_Path], numbers: list[tuple[int, Number]]) -> object:
    """`value` as a hashable object, equal for equal values; finite numbers at floating places go into `numbers`."""
    if isinstance(value, bool):
        return ("bool", value)  # True is not the number 1
    if isinstance(value, (int, float, Decimal)):
        if value != value:  # `math.isnan` takes no whole number beyond the doubles
            return ("nan",)
        if path in floating and value not in _INFINITE:
            numbers.append((int(str(path[0])), value))
            return ("floating",)
        return ("number", value)  # Python compares and hashes numbers of all types by their exact value
    if isinstance(value, (list, tuple)):
        return ("list", tuple(_shape(item, (*path, "item"), floating, numbers) for item in value))
    if isinstance(value, dict):
        items = sorted(((_shape(key, (), set(), []), key) for key in value), key=lambda item: _rank(item[0]))
        return ("map", tuple((shape, _shape(value[key], _entry(path, key), floating, numbers)) for shape, key in items))
    if isinstance(value, datetime.datetime):
        return ("moment", value)
    if isinstance(value, datetime.date):
        return ("moment", datetime.datetime(value.year, value.month, value.day))
    return (type(value).__name__, value)


def _rank(shape: Any) -> tuple[int, Any, str]:
    """What the keys of a map are sorted by: numbers by value, so that 1 and 1.0 take the same place."""
    return (0, shape[1], "") if shape[0] == "number" else (1, 0, repr(shape))


def _interval(gold: Number, tolerance: float) -> Interval:
    """Where an answer's number may lie."""
    if not isinstance(gold, float):
        return gold, gold
    # The units in the last place let a value on the very edge in, however the products round.
    reach = tolerance * abs(gold) + 4 * math.ulp(gold)
    if gold.is_integer() and 0 < abs(gold) <= _EXACT_WHOLE:
        reach = min(reach, 0.5)
    low, high = gold - reach, gold + reach
    if abs(gold) <= NOISE:
        low = -NOISE if gold >= 0 else low
        high = NOISE if gold <= 0 else high
    return low, high
