"""Ways to a result: equations as GSM8K and models write them, queries whatever their spelling; read in linear time."""

import time

import pytest

from burnish.generation.answer import Answer
from burnish.rewards.judgement import WeightedJudge
from burnish.rewards.numbers import NumberVerifier
from burnish.rewards.reasoning import equations, reasoning_of
from burnish.rewards.sql_text import plain_sql


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He has 48/2 = <<48/2=24>>24 left.", ("48/2=24",)),
        ("48 / 2 = 24.\nSo 24 + 48 = 72.", ("48/2=24", "24+48=72")),
        ("It costs $1,200 × 3 = $3,600, then 3,600 ÷ 4 = $900 each", ("1200*3=3600", "3600/4=900")),
        ("(2 + 3) * 4 = 20%", ("(2+3)*4=20%",)),
        ("2 + 3 = 5 = 10/2", ("2+3=5",)),
        ("tax 3 x 4 = 12", ("3*4=12",)),
        ("-3 - 4 = -7", ("-3-4=-7",)),
        ("x = 5, so y = 3 and 5 = 5", ()),
        ("a + b = 7; 2 + 2 = four", ()),
        ("", ()),
    ],
)
def test_equations_are_read_as_they_are_meant(text: str, expected: tuple[str, ...]) -> None:
    assert equations(text) == expected


@pytest.mark.parametrize("text", ["1" * 200_000, "=" * 200_000, "1+" * 100_000 + "=", "1=" * 100_000, "x" * 200_000])
def test_what_a_model_writes_without_end_is_read_once(text: str) -> None:
    started = time.process_time()
    equations(text)
    plain_sql(text + "/*" * 50_000)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT a FROM t", "select  a\nfrom t;", True),
        ("SELECT a -- all\nFROM t /* of it */", "select a from t", True),
        ("SELECT 'A' FROM t", "SELECT 'a' FROM t", False),
        ('SELECT "A-b" FROM t', 'select "A-b" from t', True),
        ("SELECT a/b-c FROM t", "SELECT a/b-d FROM t", False),
    ],
)
def test_queries_are_the_same_however_they_are_written(one: str, other: str, same: bool) -> None:
    assert (plain_sql(one) == plain_sql(other)) is same


def test_the_judge_of_the_row_sees_the_way() -> None:
    numbers = WeightedJudge("numbers", NumberVerifier(), applies=lambda row: row["kind"] == "sum")
    judges = [WeightedJudge("plain", lambda answers: [1.0] * len(answers)), numbers]
    assert reasoning_of(judges, Answer([], "1 + 1 = 2", {"kind": "sum"})) == ("1+1=2",)
    assert reasoning_of(judges, Answer([], "1 + 1 = 2", {"kind": "other"})) is None
    assert reasoning_of(judges, Answer([], "two", {"kind": "sum"})) is None
