"""The composed questions of the flights example and those that people typed: what is held out, and what has answers."""

import ast
import json
import random
import re
import runpy
from collections import Counter
from pathlib import Path

import pytest
from preparation import FLIGHTS, Row, question, read

from burnish.generation.answer import Answer
from burnish.rewards.sql import SqlSandbox, SqlVerifier

pytest.importorskip("duckdb")
pytest.importorskip("filelock")
pytestmark = pytest.mark.slow  # the questions take half a minute to make


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def of(folder: Path, name: str, split: str) -> list[Row]:
    return [row for row in read(folder, name) if row["split"] == split]


def known(folder: Path) -> list[Row]:
    return of(folder, "train", "composed") + of(folder, "tasks", "composed")


def test_numbers_of_questions(prepared: Path) -> None:
    assert len(of(prepared, "train", "composed")) == 700
    assert len(of(prepared, "tasks", "composed")) == 100
    assert len(of(prepared, "test", "composed")) == 200
    assert len(of(prepared, "test", "own_words")) == 60


def test_combinations_and_wordings_are_held_out(prepared: Path) -> None:
    trained, test = known(prepared), of(prepared, "test", "composed")
    assert not {row["combination"] for row in test} & {row["combination"] for row in trained}
    assert not {row["sql"] for row in test} & {row["sql"] for row in trained}
    assert all(row["new_wordings"] >= 1 for row in test)
    assert all(row["new_wordings"] == 0 for row in trained)
    for rows in (trained, test):
        assert len({plain(question(row)) for row in rows}) == len(rows)
    assert not {plain(question(row)) for row in test} & {plain(question(row)) for row in trained}
    assert len({row["combination"] for row in test}) > 100


def test_no_wording_is_for_both() -> None:
    parts = 0
    for file in (FLIGHTS / "composed").glob("*.py"):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "ways" or len(call.args) < 2:
                continue
            texts = [
                [part.value for part in ast.walk(argument) if isinstance(part, ast.Constant)] for argument in call.args
            ]
            train, test = ({way for text in of if isinstance(text, str) for way in text.split("|")} for of in texts)
            assert not train & test, file
            parts += 1
    assert parts > 100


@pytest.mark.parametrize("seed", range(3))
def test_training_takes_turns(seed: int) -> None:
    words = runpy.run_path(str(FLIGHTS / "composed" / "words.py"))
    rng, turns = random.Random(seed), words["Turns"]()
    weights = {"often": 6.0, "sometimes": 3.0, "seldom": 1.0}
    drawn = Counter(turns.draw(rng, weights, "part") for _ in range(1000))
    assert all(abs(drawn[part] - 100 * weight) <= 4 for part, weight in weights.items())
    ways = words["Ways"](tuple("abcdefgh"), ("unseen",))
    said = Counter(words["Voice"](rng, turns).say(ways) for _ in range(80))
    assert set(said) == set("abcdefgh")
    assert max(said.values()) <= 14
    tested = Counter(words["Voice"](rng, None).say(ways) for _ in range(200))
    assert 30 < tested["unseen"] < 90


def test_the_top_few_are_fewer_than_there_are(prepared: Path) -> None:
    groups = {"origin": 3, "1": 7, "month": 12}
    seen = set()
    for row in known(prepared) + of(prepared, "test", "composed"):
        few = re.search(r" group by (\w+) order by .* limit (\d+)$", row["sql"])
        if few and few[1] in groups:
            assert int(few[2]) < groups[few[1]], row["sql"]
            seen.add(few[1])
    assert seen == set(groups)


def test_questions_vary(prepared: Path) -> None:
    rows = known(prepared)
    conditions = Counter(len(re.findall(r" and (?!\d)", row["sql"])) + (" where " in row["sql"]) for row in rows)
    assert min(conditions[count] for count in (0, 1, 2)) >= 60
    assert conditions[3] + conditions[4] >= 20
    for part in ("count(*)", "count(distinct", "avg(", "max(", "min(", "sum(", "median(", "100 * avg", "group by",
                 "having", " desc limit 1", "distinct ", "join airlines", "join planes", "join weather",
                 "from airlines", "from airports", "from planes", "from weather"):  # fmt: skip
        assert sum(part in row["sql"] for row in rows) >= 4, part
    lower = sum(question(row) == question(row).lower() for row in rows)
    assert 0.2 * len(rows) < lower < 0.6 * len(rows)


@pytest.mark.parametrize(
    ("asked", "sql"),
    [
        ("how many flights", "select count(*) from flights"),
        ("how many airlines are there", "select count(*) from airlines"),
        ("how many flights were there in 2013", "select count(*) from flights"),
    ],
)
def test_nothing_asked_is_nothing_filtered(prepared: Path, asked: str, sql: str) -> None:
    for row in read(prepared, "train"):
        if plain(question(row)) == asked:
            assert row["sql"] == sql


def test_gold_queries_return_rows(prepared: Path) -> None:
    rows = of(prepared, "test", "composed") + known(prepared)[::4]
    with SqlSandbox(prepared / "flights.duckdb") as sandbox:
        verifier = SqlVerifier(sandbox)
        for row in rows:
            result = verifier.gold(row["sql"])
            assert 1 <= len(result.rows) <= 400
            assert not all(values[-1] is None for values in result.rows), row["sql"]
            assert " order by " in row["sql"] or not row["ordered"]
        assert all(verdict.correct for verdict in verifier([Answer([], row["sql"], row) for row in rows]))


def test_one_dialect(prepared: Path) -> None:
    for row in known(prepared) + of(prepared, "test", "composed"):
        bare = re.sub(r"'(?:[^']|'')*'", "''", row["sql"])
        assert bare == bare.lower()
        assert bare.startswith("select ")
        assert not re.search(r"\bas\b|;|!=|\s{2,}", bare)
        clauses = ["from", "join", "where", "group by", "having", "order by", "limit"]
        places = [bare.index(f" {clause} ") for clause in clauses if f" {clause} " in bare]
        assert places == sorted(places), row["sql"]


def test_own_words_are_sixty_that_nothing_trains_on(prepared: Path) -> None:
    lines = (FLIGHTS / "own_words.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 60
    assert all(set(row) == {"question", "sql"} for row in rows)
    assert len({plain(row["question"]) for row in rows}) == 60
    assert {row["question"]: row["sql"] for row in rows} == {
        question(row): row["sql"] for row in of(prepared, "test", "own_words")
    }
    trained = {plain(question(row)) for name in ("train", "tasks") for row in read(prepared, name)}
    assert not {plain(row["question"]) for row in rows} & trained
    for table in ("flights", "airlines", "airports", "planes", "weather"):
        assert any(f"from {table}" in row["sql"] for row in rows), table
    with SqlSandbox(prepared / "flights.duckdb") as sandbox:
        for row in rows:
            result = sandbox.execute(row["sql"])
            assert result.error is None, row
            assert 1 <= len(result.rows) <= 16, row
            assert not any(value is None for values in result.rows for value in values), row
