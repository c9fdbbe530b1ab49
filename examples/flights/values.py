"""The values that questions are filled with, drawn from the data, each with the words a person would use.

A slot is a name in braces in a question and in its SQL. Slots with many values (`dest`, `date`, thresholds, ...) are
divided so that the test set asks about values that never occur in training. Slots with few (`origin`, `carrier`,
`month`, ...) are shared, and there the test set keeps *combinations* of values for itself (see questions.py).
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TEST_SHARE = 0.3


@dataclass(frozen=True)
class Value:
    """One filling of a slot: `text` goes into the question, `sql` into the query."""

    text: str
    sql: str


@dataclass(frozen=True)
class Pool:
    """The values of a slot that training may use and those the test set may use."""

    train: tuple[Value, ...]
    test: tuple[Value, ...]


def _same(values: Sequence[object]) -> list[Value]:
    return [Value(str(value), str(value).replace("'", "''")) for value in values]


def _pairs(carriers: Sequence[str]) -> list[Value]:
    """Either of two: "AA or DL" and `'AA', 'DL'`."""
    return [Value(f"{a} or {b}", f"'{a}', '{b}'") for a, b in itertools.combinations(carriers, 2)]


def _hour(hour: int) -> Value:
    name = "noon" if hour == 12 else f"{hour} am" if hour < 12 else f"{hour - 12} pm"
    return Value(name, str(hour))


def _month_ranges() -> list[Value]:
    pairs = [(first, last) for first in range(1, 12) for last in range(first + 1, min(first + 5, 13))]
    return [
        Value(f"from {MONTHS[first - 1]} through {MONTHS[last - 1]}", f"month between {first} and {last}")
        for first, last in pairs
    ]


def _dates(connection: duckdb.DuckDBPyConnection) -> list[Value]:
    rows = connection.execute("select distinct month, day from flights order by all").fetchall()
    return [Value(f"{MONTHS[month - 1]} {day}", f"month = {month} and day = {day}") for month, day in rows]


def pools(connection: duckdb.DuckDBPyConnection, seed: int) -> dict[str, Pool]:
    """The pool of every slot, from the data in `connection`; `seed` decides the division."""

    def column(sql: str) -> list[Value]:
        return _same([row[0] for row in connection.execute(sql).fetchall()])

    carriers = [
        value.sql for value in column("select carrier from flights group by 1 having count(*) > 500 order by 1")
    ]
    divided = {
        "dest": column("select dest from flights group by dest having count(*) > 250 order by dest"),
        "faa": column(
            "select faa from airports where length(name) < 32 and regexp_full_match(faa, '[A-Z]{3}') order by faa"
        ),
        "airport": column(
            "select name from airports where faa in (select dest from flights group by dest having count(*) > 500) "
            "and length(name) < 28 order by name"
        ),
        "tailnum": column(
            "select tailnum from flights join planes using (tailnum) "
            "group by tailnum having count(*) > 150 order by tailnum"
        ),
        "date": _dates(connection),
        "late": _same(range(10, 185, 5)),
        "feet": _same(range(500, 7000, 100)),
        "seats": _same(range(100, 320, 5)),
        "built": _same(range(1985, 2012)),
        "flights_over": _same(range(1000, 8000, 250)),
    }
    shared = {
        "origin": _same(("EWR", "JFK", "LGA")),
        "carrier": _same(carriers),
        "airline": column(
            "select name from airlines join flights using (carrier) group by name having count(*) > 500 order by name"
        ),
        "month": [Value(name, str(number)) for number, name in enumerate(MONTHS, start=1)],
        "months": _month_ranges(),
        "weekday": _same(WEEKDAYS),
        "before_hour": [_hour(hour) for hour in range(6, 13)],
        "carriers": _pairs(carriers),
        "n": _same(range(2, 11)),
        "few": _same(range(2, 6)),
        "percentile": [Value(f"{p}th", f"0.{p}".rstrip("0")) for p in (60, 70, 75, 80, 85, 90, 95, 99)],
        "avg_over": _same(range(2, 21)),
        "tzone": column(
            "select tzone from airports where tzone like 'America/%' group by tzone having count(*) > 30 order by tzone"
        ),
        "manufacturer": column(
            "select manufacturer from planes group by manufacturer having count(*) > 25 order by manufacturer"
        ),
        "visib": _same(range(1, 10)),
        "mph": _same(range(15, 36)),
    }
    result = {name: Pool(tuple(values), tuple(values)) for name, values in shared.items()}
    for name, values in divided.items():
        held_out = set(random.Random(f"{seed} {name}").sample(range(len(values)), int(len(values) * TEST_SHARE)))
        result[name] = Pool(
            tuple(value for i, value in enumerate(values) if i not in held_out),
            tuple(value for i, value in enumerate(values) if i in held_out),
        )
    return result
