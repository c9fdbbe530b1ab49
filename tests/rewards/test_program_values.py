"""Plain data travels unchanged, in exactly the builtin types, and nothing else does."""

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.rewards.programs.inside.values import MAX_DEPTH, decode, encode, update

HASHABLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(allow_nan=False),
)
PLAIN = st.recursive(
    HASHABLE,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.lists(inner).map(deque),
        st.dictionaries(HASHABLE, inner),
        st.frozensets(HASHABLE),
        st.sets(HASHABLE),
    ),
    max_leaves=8,
)


def through(value: object) -> Any:
    """What a value is on the other side."""
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


def alike(one: Any, other: Any) -> bool:
    """Whether two values are equal, with equal types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(alike(*pair) for pair in zip(one.items(), other.items(), strict=True))
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(alike(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other) and repr(one) == repr(other) if isinstance(one, float) else bool(one == other)


@settings(max_examples=25, deadline=None)
@given(PLAIN)
def test_plain_data_comes_back_as_it_was(value: object) -> None:
    assert alike(through(value), value)


class Liar(int):
    """Equal to everything, if it is asked."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class Colour(IntEnum):
    RED = 3


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Liar(5), 5),
        (Colour.RED, 3),
        (Point(1, 2), (1, 2)),
        (Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict(list, {1: [2]}), {1: [2]}),
        (OrderedDict(b=1, a=2), OrderedDict(b=1, a=2)),
        (range(3, 9, 2), range(3, 9, 2)),
        (bytearray(b"ab"), bytearray(b"ab")),
        (-(2**70), -(2**70)),
        (Fraction(1, 3), Fraction(1, 3)),
        (Decimal("1.10"), Decimal("1.10")),
        (datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)),
        (date(2024, 1, 2), date(2024, 1, 2)),
        (time(1, 2), time(1, 2)),
        (timedelta(days=-1, seconds=5), timedelta(days=-1, seconds=5)),
        (UUID(int=7), UUID(int=7)),
        ("\ud800", "\ud800"),
    ],
)
def test_a_value_of_a_subclass_travels_as_its_base(value: object, expected: object) -> None:
    got = through(value)
    assert type(got) is type(expected)
    assert got == expected


def test_what_is_no_number_stays_none() -> None:
    assert math.isnan(through(math.nan))
    assert through([math.inf, -math.inf]) == [math.inf, -math.inf]


def test_iterators_and_views_are_what_they_give() -> None:
    assert list(through(n * n for n in range(4))) == [0, 1, 4, 9]
    assert next(through(map(str, [7]))) == "7"
    assert through({1: 2}.keys()) == {1}
    assert list(through({1: 2}.values())) == [2]
    assert through({1: 2}.items()) == {(1, 2)}


def endless() -> Any:
    """A generator without an end."""
    while True:
        yield 0


def deep(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [object(), print, len, int, Any, endless(), deep(MAX_DEPTH + 1), [[], print], {1: object()}]
)
def test_what_is_no_plain_data_does_not_travel(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(value)


@pytest.mark.parametrize(
    "message",
    [
        {"no such type": [1]},
        {"int": "0x1", "float": "1"},
        {},
        {"int": "5q"},
        {"set": [[1]]},
        {"range": [1, 2, 0]},
        {"dict": [[1, 2, 3]]},
        {"float": "one"},
        {"bytes": "xyz"},
        {"set": 5},
        {"Decimal": "sNaN of a kind"},
        deep(3 * MAX_DEPTH),
    ],
)
def test_a_message_that_is_none_is_refused(message: object) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, ArithmeticError)):
        decode(message)


def test_a_value_becomes_what_a_copy_of_it_became() -> None:
    values: list[Any] = [[3, 1], {1: 2}, {1, 2}, bytearray(b"a"), deque([1])]
    news: list[Any] = [[1, 3, 5], {2: 3}, {7}, bytearray(b"bc"), deque([2, 3])]
    for value, new in zip(values, news, strict=True):
        update(value, new)
    assert values == news
    kept = [1]
    update(kept, (2,))
    assert kept == [1]
