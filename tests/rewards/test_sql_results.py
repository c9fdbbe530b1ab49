"""The type of the expected result decides how strictly it is compared."""

import datetime
import math
import random
import uuid
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from burnish.rewards.sql_results import Result, results_equal

NAN, INF = float("nan"), float("inf")


def rows(*values: tuple[Any, ...], types: tuple[str, ...] = ()) -> Result:
    return Result(tuple(f"c{i}" for i in range(len(values[0]) if values else 0)), values, types=types)


@pytest.mark.parametrize(
    ("a", "b", "ordered", "equal"),
    [
        (rows((1,)), rows((1,)), True, True),
        (rows((1,)), rows((2,)), False, False),
        (rows((1,)), rows((1.0,)), False, True),
        (rows((1,)), rows((Decimal("1.00"),)), False, True),
        (rows((1,)), rows((True,)), False, False),
        (rows((1,)), rows(("1",)), False, False),
        (rows((None,)), rows((None,)), False, True),
        (rows((None,)), rows((0,)), False, False),
        (rows((None,)), rows((NAN,)), False, False),
        (rows((NAN,)), rows((NAN,)), False, True),
        (rows((NAN,)), rows((0.0,)), False, False),
        (rows((INF,)), rows((1.0,)), False, False),
        (rows((INF,)), rows((INF,)), False, True),
        (rows((INF,)), rows((-INF,)), False, False),
        (rows((0.0,)), rows((-0.0,)), True, True),
        (rows((10_000_000,)), rows((10_000_001,)), False, False),  # integers are exact
        (rows((10_000_000.0,)), rows((10_000_001,)), False, False),
        (rows((10_000_001.0,)), rows((10_000_007.0,)), False, False),
        (rows((10_000_000_001.0,)), rows((10_000_000_007.0,)), False, False),
        (rows((1_356_998_400_000.0,)), rows((1_356_998_400_001.0,)), False, False),  # milliseconds as DOUBLE
        (rows((350_217_607,)), rows((350_217_300.0,)), False, False),
        (rows((350_217_607,)), rows((350_217_607.0,)), False, True),
        (rows((1 << 100,)), rows((float(1 << 100),)), False, True),
        (rows(((1 << 100) + 1,)), rows(((1 << 100),)), False, False),
        (rows((1_356_998_400,)), rows((1_356_998_460,)), False, False),  # epoch seconds, a minute apart
        (rows((Decimal("1000000.49"),)), rows((Decimal("1000000.00"),)), False, False),
        (rows((Decimal("0.10"),)), rows((Decimal("0.1"),)), False, True),
        (rows((0.1 + 0.2,)), rows((0.3,)), False, True),
        (rows((1.0,)), rows((1.00001,)), False, False),
        (rows((1.5,)), rows((1.50000001,)), False, False),
        (rows((1.5,)), rows((1.5000000001,)), False, True),
        (rows((0.0,)), rows((1e-15,)), False, True),
        (rows((1e-10,)), rows((2e-10,)), False, False),
        (rows((1,), (2,)), rows((2,), (1,)), False, True),
        (rows((1,), (2,)), rows((2,), (1,)), True, False),
        (rows((1,), (1,), (2,)), rows((1,), (2,), (2,)), False, False),
        (rows((1, 2)), rows((2, 1)), False, False),
        (rows((1,)), rows((1, 1)), False, False),
        (rows((1,)), rows((1,), (1,)), False, False),
        (rows((1.0, 5), (1.0 + 1e-9, 3)), rows((1.0, 3), (1.0 + 1e-9, 5)), False, True),
        (rows((1.0, 5), (2.0, 3)), rows((1.0, 3), (2.0, 5)), False, False),
        (rows((0.1, 0.2, "a"), (0.3, 0.4, "a")), rows((0.3, 0.4, "a"), (0.1, 0.2, "a")), False, True),
        (rows((0.1, 0.4, "a"), (0.3, 0.2, "a")), rows((0.3, 0.4, "a"), (0.1, 0.2, "a")), False, False),
        (rows((datetime.date(2013, 1, 1),)), rows((datetime.datetime(2013, 1, 1),)), False, True),
        (rows((datetime.date(2013, 1, 1),)), rows((datetime.date(2013, 1, 2),)), False, False),
        (rows((datetime.date(2013, 1, 1),)), rows(("2013-01-01",)), False, False),
        (rows((datetime.datetime(2013, 1, 1),)), rows((datetime.datetime(2013, 1, 1, 0, 0, 0, 1),)), False, False),
        (rows((datetime.timedelta(days=1),)), rows((datetime.timedelta(days=1, microseconds=1),)), False, False),
        (rows((uuid.UUID(int=1),)), rows((uuid.UUID(int=2),)), False, False),
        (rows((b"a",)), rows((b"b",)), False, False),
        (rows(("a",)), rows(("a ",)), False, False),
        (rows(("Ä",)), rows(("A\u0308",)), False, False),
        (rows(([1, 0.3],)), rows(([1, 0.1 + 0.2],)), False, True),
        (rows(([1, 2],)), rows(([2, 1],)), False, False),
        (rows(([10_000_000, 0.5],)), rows(([10_000_001, 0.5],)), False, False),
        (rows(([0.5, None],)), rows(([None, 0.5],)), False, False),
        (rows(({"a": 1},)), rows(({"a": 1.0},)), False, True),
        (rows(({"a": 1, "b": 0.3},)), rows(({"b": 0.1 + 0.2, "a": 1},)), False, True),
        (rows(({"a": 10_000_001, "b": 0.3},)), rows(({"a": 10_000_000, "b": 0.3},)), False, False),
        (rows(({"a": 0.3, "b": 0.4},)), rows(({"a": 0.4, "b": 0.3},)), False, False),
        (rows(({1: 0.3, 2: 0.4},)), rows(({2.0: 0.4, 1.0: 0.1 + 0.2},)), False, True),
        (rows(({datetime.date(2013, 1, 1): [0.5]},)), rows(({datetime.date(2013, 1, 2): [0.5]},)), False, False),
        (rows(), rows(), True, True),
        (Result(("a",), ()), Result(("b",), ()), False, True),
        (Result(("a",), ()), Result(("a", "b"), ()), False, False),
        (Result(error="x"), Result(error="x"), False, False),
    ],
)
def test_equal_either_way_round(a: Result, b: Result, ordered: bool, equal: bool) -> None:
    assert results_equal(a, b, ordered=ordered) is equal
    assert results_equal(b, a, ordered=ordered) is equal


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ((10**40,), (float(10**40),), False),
        ((float(10**40),), (10**40,), True),
        ((0.5,), (Decimal("0.50000000001"),), True),
        ((Decimal("0.5"),), (0.50000000001,), False),
        ((1 / 3,), (Decimal("0.3333333333"),), True),
        ((Decimal("0.1"),), (0.1,), False),  # the nearest double is another number
        ((1.5,), (1,), False),
        (([1.5, 2.0],), ([Decimal("1.50000000001"), 2],), True),
        (([1, 2],), ([1.00000000001, 2],), False),
        ((1e-17,), (0.0,), True),
        ((1e-17,), (-3e-17,), True),
        ((0.0,), (2e-12,), False),
        ((3e-30,), (5e-20,), False),
        ((3e-11,), (0.0,), False),
        ((12.0,), (12.000000000000002,), True),
        ((2.0**60,), (2.0**60 + 2**10,), True),  # beyond 2^53 a whole number says nothing
    ],
)
def test_the_gold_value_decides(gold: tuple[Any, ...], answer: tuple[Any, ...], equal: bool) -> None:
    assert results_equal(rows(answer), rows(gold), ordered=True) is equal
    assert results_equal(rows(answer), rows(gold), ordered=False) is equal


def test_a_column_of_32_bits_is_compared_as_such() -> None:
    third, near = 0.3333333432674408, 0.33333340287208557  # two units in the last place apart
    for kind, equal in (("FLOAT", True), ("FLOAT[]", True), ("DOUBLE", False), ("STRUCT(a FLOAT, b DOUBLE)", False)):
        gold = rows((third,), types=(kind,))
        assert results_equal(rows((near,), types=("FLOAT",)), gold, ordered=False) is equal
        assert not results_equal(rows((0.33334,), types=("FLOAT",)), gold, ordered=False)


def test_different_rows_are_not_chained_by_what_lies_between() -> None:
    step = 1 + 8e-10
    values = [1.7]
    while len(values) < 1000:
        values.append(values[-1] * step)
    gold = rows(*((value,) for value in values))
    assert results_equal(rows(*((value,) for value in reversed(values))), gold, ordered=False)
    assert not results_equal(rows(*((values[0],) for _ in values)), gold, ordered=False)
    assert not results_equal(rows(*((values[i // 2],) for i in range(1000))), gold, ordered=False)
    # By one place each is within the tolerance of its neighbour; by three it is not.
    assert results_equal(rows(*((value,) for value in [*values[1:], values[-1]])), gold, ordered=False)
    assert not results_equal(rows(*((value,) for value in [*values[3:], *values[-3:]])), gold, ordered=False)


@given(st.lists(st.tuples(st.floats(allow_nan=False), st.text(max_size=2)), max_size=8), st.randoms())
def test_shuffled_rows_are_equal_unless_ordered(values: list[tuple[float, str]], random: Any) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    a, b = Result(("x", "s"), tuple(values)), Result(("x", "s"), tuple(shuffled))
    assert results_equal(a, b, ordered=False)
    assert results_equal(a, a, ordered=True)


EXACT = (
    st.booleans()
    | st.integers(-(2**127), 2**127)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.uuids()
)
NESTED = (
    EXACT
    | st.lists(EXACT, min_size=1, max_size=3)
    | st.dictionaries(st.text(max_size=2), EXACT, min_size=1, max_size=3)
)


@given(st.lists(st.tuples(NESTED, st.floats(-1e6, 1e6)), min_size=1, max_size=5), st.data())
def test_no_perturbation_of_an_exact_value_passes(values: list[tuple[Any, float]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(values) - 1))
    changed = perturbed(values[place][0], data)
    answer = [(changed, x) if row == place else (value, x) for row, (value, x) in enumerate(values)]
    gold = rows(*values)
    assert results_equal(gold, gold, ordered=False)
    for ordered in (True, False):
        assert not results_equal(rows(*answer), gold, ordered=ordered)


def perturbed(value: Any, data: st.DataObject) -> Any:
    """Another value, as near to `value` as its type allows, or as an answer's other type can be."""
    if isinstance(value, list):
        place = data.draw(st.integers(0, len(value) - 1))
        return [perturbed(item, data) if index == place else item for index, item in enumerate(value)]
    if isinstance(value, dict):
        changed = data.draw(st.sampled_from(sorted(value)))
        return {key: perturbed(item, data) if key == changed else item for key, item in value.items()}
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, Decimal)):
        near: Any = data.draw(
            st.sampled_from([value + 1, value - 1, value + Decimal("0.001"), float(value), float(value) * (1 + 1e-12)])
        )
        assume(near != value)
        return near
    if isinstance(value, str):
        return value + data.draw(st.sampled_from([" ", "\0", "a"]))
    if isinstance(value, bytes):
        return value + b"\0"
    if isinstance(value, datetime.datetime):
        return value + datetime.timedelta(microseconds=-1 if value.year > 5000 else 1)
    if isinstance(value, datetime.date):
        return value + datetime.timedelta(days=-1 if value.year > 5000 else 1)
    if isinstance(value, datetime.time):
        return value.replace(microsecond=(value.microsecond + 1) % 10**6)
    if isinstance(value, datetime.timedelta):
        return value + datetime.timedelta(microseconds=-1 if value > datetime.timedelta(0) else 1)
    return uuid.UUID(int=value.int ^ 1)


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=200), st.randoms())
def test_adding_in_another_order_passes(values: list[float], random: Any) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    for total in (added, lambda items: added(items) / len(items)):
        assert results_equal(rows((total(shuffled), 7)), rows((total(values), 7)), ordered=False)


def added(values: list[float]) -> float:
    """The plain sum, from left to right; Python's own compensates what it rounds."""
    total = 0.0
    for value in values:
        total += value
    return total


def test_sums_over_a_large_table_pass_in_any_order() -> None:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.execute("set threads = 1")
    connection.execute(
        "create table t as select i, sin(i) * 1000 + 1000 as x, sin(i * 1.7) * 40 + exp(cos(i)) as y, x::real as r "
        "from range(336776) as range(i)"
    )
    query = (
        "select sum(x), avg(x), sum(y), avg(y), stddev(x), regr_slope(x + i, i), sum(r), avg(r) "
        "from (from t order by {})"
    )
    results = []
    for order in ("i", "hash(i)", "x desc"):
        cursor = connection.execute(query.format(order))
        results.append(Result(rows=tuple(cursor.fetchall()), columns=("",) * 8, types=("DOUBLE",) * 8))
    for answer, gold in pairwise(results):
        assert answer.rows != gold.rows
        assert results_equal(answer, gold, ordered=True)
    wrong = connection.execute(query.format("i").replace("from t", "from t where i <> 7")).fetchall()
    assert not any(math.isclose(*pair) for pair in zip(wrong[0], results[0].rows[0], strict=True))


def test_a_large_result_is_compared_in_any_order() -> None:
    draw = random.Random(2)
    values = [(draw.randrange(50), draw.random() * 100, draw.random(), [draw.random()]) for _ in range(4_000)]
    other = [(key, x * (1 + 1e-13), y * (1 - 1e-13), [z * (1 + 1e-13)]) for key, x, y, [z] in values]
    draw.shuffle(other)
    assert results_equal(rows(*other), rows(*values), ordered=False)
    other[0] = (other[0][0], other[0][1] + 1e-6, *other[0][2:])
    assert not results_equal(rows(*other), rows(*values), ordered=False)
