"""A SQLite file is read into DuckDB with each column's own type, and what could not be kept is said."""

import datetime
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import BurnishError
from burnish.recipes.schema.judges import SqlJudge
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.sql_from_sqlite import duckdb_copy, is_sqlite
from burnish.runs.progress import Silent

duckdb = pytest.importorskip("duckdb")

SCHEMA = """
create table staff (
    id integer primary key, name text, salary real, hired date, seen datetime, paid boolean, price decimal(10, 2),
    large int, photo blob, "odd ""name" varchar(20), none_yet date
);
insert into staff values
    (1, 'Ada', 1.5, '2020-01-02', '2020-01-02 03:04:05', 1, 12.34, 9223372036854775807, x'00ff', 'x', null),
    (2, 'Bo', 2, '2021-12-31', '2021-12-31T23:59', 0, 5, -1, null, null, null),
    (3, null, null, null, null, null, null, null, null, '', null);
create table mixed (number real, day date, moment date, anything, whole numeric);
insert into mixed values
    (1.5, '2020-01-02', '2020-01-02', 1, 9007199254740993),
    ('n/a', '', '2020-01-02 01:00:00', x'41', 0.5),
    (2, null, null, 'z', 1);
create view doubled as
    select name, salary * 2 as twice, strftime('%Y', hired) as year from staff where salary is not null;
create table made (a int, b int generated always as (a * 2) virtual);
insert into made values (4);
create table "empty table" (a int, b double, c text);
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "staff.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


def read(copy: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(copy), read_only=True) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return rows


def test_values_keep_their_types(database: Path, tmp_path: Path) -> None:
    said: list[str] = []
    copy = duckdb_copy(database, tmp_path / "cache", said.append)
    assert [row[:2] for row in read(copy, "describe staff")] == [
        ("id", "BIGINT"),
        ("name", "VARCHAR"),
        ("salary", "DOUBLE"),
        ("hired", "DATE"),
        ("seen", "TIMESTAMP"),
        ("paid", "BIGINT"),
        ("price", "DOUBLE"),
        ("large", "BIGINT"),
        ("photo", "BLOB"),
        ('odd "name', "VARCHAR"),
        ("none_yet", "DATE"),
    ]
    day, moment = datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, 4, 5)
    assert read(copy, "from staff order by id") == [
        (1, "Ada", 1.5, day, moment, 1, 12.34, 9223372036854775807, b"\x00\xff", "x", None),
        (
            2,
            "Bo",
            2.0,
            datetime.date(2021, 12, 31),
            datetime.datetime(2021, 12, 31, 23, 59),
            0,
            5.0,
            -1,
            None,
            None,
            None,
        ),
        (3, None, None, None, None, None, None, None, None, "", None),
    ]
    assert read(copy, "from doubled order by name") == [("Ada", 3.0, "2020"), ("Bo", 4.0, "2021")]
    assert read(copy, "from made") == [(4, 8)]
    assert [row[:2] for row in read(copy, 'describe "empty table"')] == [
        ("a", "BIGINT"),
        ("b", "DOUBLE"),
        ("c", "VARCHAR"),
    ]
    assert read(copy, "select number, day, anything from mixed order by rowid") == [
        ("1.5", "2020-01-02", b"1"),
        ("n/a", "", b"A"),
        ("2.0", None, b"z"),
    ]
    assert [row[1] for row in read(copy, "describe mixed")] == ["VARCHAR", "VARCHAR", "TIMESTAMP", "BLOB", "DOUBLE"]
    assert said == [
        "staff.sqlite: mixed.number is VARCHAR: it holds 2 real, 1 text values",
        "staff.sqlite: mixed.anything is BLOB: it holds 1 blob, 1 integer, 1 text values",
        "staff.sqlite: mixed.whole is DOUBLE: 1 integers above 2^53 are rounded",
        "staff.sqlite: mixed.day is VARCHAR: 1 of its values are no dates as SQLite writes them",
    ]


def test_a_copy_is_made_once_for_each_content(database: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = duckdb_copy(database, tmp_path / "cache", said.append)
    stamp = first.stat().st_mtime_ns
    assert duckdb_copy(database, tmp_path / "cache", said.append) == first
    assert first.stat().st_mtime_ns == stamp
    assert len(said) == 8, "what could not be kept is said every time"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("delete from staff")
        connection.commit()
    second = duckdb_copy(database, tmp_path / "cache", said.append)
    assert read(second, "select count(*) from staff") == [(0,)]
    assert not list((tmp_path / "cache").glob("*.tmp"))


@pytest.mark.parametrize("suffix", [".duckdb", ".json"])
def test_a_copy_that_is_not_what_was_made_is_made_again(suffix: str, database: Path, tmp_path: Path) -> None:
    copy = duckdb_copy(database, tmp_path / "cache", print)
    before = read(copy, "select count(*) from staff")
    damaged = copy.with_suffix(suffix)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    assert read(duckdb_copy(database, tmp_path / "cache", print), "select count(*) from staff") == before
    assert damaged.read_bytes() != data


def test_changes_in_the_write_ahead_log_are_read(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table t as select 1 as a")
        connection.commit()
        before = duckdb_copy(tmp_path / "x.db", tmp_path / "cache", print)
        connection.execute("insert into t values (2)")
        connection.commit()
        after = duckdb_copy(tmp_path / "x.db", tmp_path / "cache", print)
    assert read(before, "select sum(a) from t") == [(1,)]
    assert read(after, "select sum(a) from t") == [(3,)]


def test_text_that_is_no_utf8_is_said(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("create table t as select cast(x'41ff' as text) as a")
        connection.commit()
    said: list[str] = []
    copy = duckdb_copy(tmp_path / "x.db", tmp_path / "cache", said.append)
    assert read(copy, "from t") == [("A\ufffd",)]
    assert said == ["x.db: 1 texts are not UTF-8; what could not be read of them is U+FFFD"]


def test_a_broken_file_is_refused_by_name(database: Path, tmp_path: Path) -> None:
    data = database.read_bytes()
    database.write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    with pytest.raises(BurnishError, match=r"staff\.sqlite: cannot be read as a SQLite database"):
        duckdb_copy(database, tmp_path / "cache", print)
    assert not list((tmp_path / "cache").glob("*"))
    assert not is_sqlite(tmp_path / "nothing")


@pytest.mark.parametrize("inside", [True, False])
def test_a_recipes_database_may_be_sqlite(database: Path, tmp_path: Path, inside: bool) -> None:
    run = tmp_path / "run"
    if inside:
        run.mkdir()
    said: list[str] = []

    class Said(Silent):
        def say(self, text: str, style: str | None = None) -> None:
            said.append(text)

    context = StageContext(
        folder=run / "chat",
        display=Said(),
        device="cpu",
        compute_dtype="float32",
        inputs={"staff.sqlite": (database,)},
        input_keys={},
        recipe_folder=tmp_path,
    )
    with SqlJudge(type="sql", database="staff.sqlite").open(context) as verifier:
        row = {"prompt": "?", "sql": "select count(*) from staff where hired >= '2021-01-01'"}
        assert verifier.verify("select 1", row).correct
        assert verifier.verify("select count(*) from read_csv('/etc/passwd')", row).reason == "error"
        assert verifier.verify("attach 'staff.sqlite' as s (type sqlite)", row).reason == "error"
    assert len(said) == 4
    assert (run / "cache" / "databases").is_dir() is inside
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("select count(*) from staff").fetchone() == (3,)


def test_a_view_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "endless.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "create table t (a); insert into t values (1);"
            "create view endless as with recursive c(x) as (select 1 union all select x + 1 from c) select x from c;"
        )
    monkeypatch.setattr("burnish.rewards.sql_from_sqlite._VIEW_SECONDS", 0.05)
    said: list[str] = []
    copy = duckdb_copy(path, tmp_path / "cache", said.append)
    assert said == ["endless.sqlite: endless is left out: its rows take longer than 0.05 s"]
    assert read(copy, "select a from t") == [(1,)]
