"""The SQL sandbox under attack, the comparison of results, and the verifier."""

import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError, DataError
from burnish.generation.answer import Answer
from burnish.recipes.schema.judges import SqlJudge
from burnish.rewards import sql_sandbox, sql_worker
from burnish.rewards.sql import Result, SqlSandbox, SqlVerifier, gold_query
from burnish.rewards.sql_results import results_equal
from burnish.rewards.sql_worker import Months, Nanoseconds

duckdb = pytest.importorskip("duckdb")

TIMEOUT = 0.5


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sql") / "small.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table t as select range as i, range / 4 as x, 'n' || range % 3 as name from range(1000)"
        )
        connection.execute("create table nothing (i int)")
    return path


@pytest.fixture(scope="module")
def sandbox(database: Path) -> Iterator[SqlSandbox]:
    with SqlSandbox(database, memory_limit="64MB", timeout_seconds=TIMEOUT, max_rows=1000) as opened:
        yield opened


class TestReading:
    @pytest.mark.parametrize(
        ("sql", "expected"),
        [
            ("select count(*) from t", ((1000,),)),
            ("SELECT 1;", ((1,),)),
            ("-- a comment\nselect 2 -- and another", ((2,),)),
            ("with a as (select 3 as x) select x from a", ((3,),)),
            ("values (4), (5)", ((4,), (5,))),
            ("from t order by i limit 1", ((0, 0.0, "n0"),)),
            ("(select 6)", ((6,),)),
            ("select i from nothing", ()),
            ("select ';' as semicolon", ((";",),)),
            ("pivot (select name from t) on name using count(*)", ((334, 333, 333),)),
            ("pivot (select name from t) on name in ('n0', 'n1') using count(*);", ((334, 333),)),
            ("-- a comment\n(pivot (select name from t) on name using count(*)) -- ;", ((334, 333, 333),)),
            ("from (pivot (select name from t) on name using count(*)) select n1", ((333,),)),
            ("with p as (pivot (select i, name from t) on name using sum(i)) select n0 from p", ((166833,),)),
            ("unpivot (from t limit 1) on i into name k value v", ((0.0, "n0", "i", 0),)),
            ("table nothing", ()),
            ("select count(*) from (summarize t)", ((3,),)),
        ],
    )
    def test_reads(self, sandbox: SqlSandbox, sql: str, expected: tuple[tuple[Any, ...], ...]) -> None:
        result = sandbox.execute(sql)
        assert result.error is None
        assert result.rows == expected

    def test_describe_and_column_names(self, sandbox: SqlSandbox) -> None:
        assert [row[0] for row in sandbox.execute("describe t").rows] == ["i", "x", "name"]
        assert sandbox.execute("select i as a, x from t limit 1").columns == ("a", "x")

    def test_every_type_survives_the_pipe(self, sandbox: SqlSandbox) -> None:
        expressions = {
            "null": None,
            "true": True,
            "1::hugeint << 100": 1 << 100,
            "-9007199254740993": -9007199254740993,
            "1.50::decimal(5, 2)": Decimal("1.50"),
            "0.1::double + 0.2": 0.1 + 0.2,
            "'infinity'::double": float("inf"),
            "date '2013-07-04'": datetime.date(2013, 7, 4),
            "timestamp '2013-07-04 05:06:07.000008'": datetime.datetime(2013, 7, 4, 5, 6, 7, 8),
            "time '05:06:07'": datetime.time(5, 6, 7),
            "interval 90 minutes": datetime.timedelta(minutes=90),
            "interval '14 months 2 days'": Months(14, datetime.timedelta(days=2)),
            "'a\\x00b'::blob": b"a\x00b",
            "'a''\u00e9\U0001f6eb'": "a'\u00e9\U0001f6eb",
            "uuid '00000000-0000-0000-0000-000000000007'": uuid.UUID(int=7),
            "[1, null, 3]": [1, None, 3],
            "{'a': 1, 'b': ['x']}": {"a": 1, "b": ["x"]},
            "map {date '2013-07-04': 1}": {datetime.date(2013, 7, 4): 1},
        }
        (row,) = sandbox.execute("select " + ", ".join(expressions)).rows
        for expression, value, expected in zip(expressions, row, expressions.values(), strict=True):
            assert value == expected, expression
            assert type(value) is type(expected), expression
        assert sandbox.execute("select 'nan'::double").rows[0][0] != 0.0

    def test_nanoseconds_survive_wherever_they_stand(self, sandbox: SqlSandbox) -> None:
        moment = datetime.datetime(2013, 7, 4, 5, 6, 7, 8)
        fine = Nanoseconds(moment, 9)
        written = "'2013-07-04 05:06:07.000008009'::timestamp_ns"
        expressions: dict[str, Any] = {
            written: fine,
            "'2013-07-04 05:06:07.000008'::timestamp_ns": moment,
            "'2013-07-04'::timestamp_ns": datetime.datetime(2013, 7, 4),
            "'05:06:07.000008009'::time_ns": Nanoseconds(moment.time(), 9),
            "'24:00:00'::time_ns": "24:00:00",
            "null::timestamp_ns": None,
            "'infinity'::timestamp_ns": "infinity",
            f"[{written}, null]": [fine, None],
            f"array_value({written})": [fine],
            f"{{'size': {written}, 'a \"b\"': 1, 'timestamp_ns': 2}}": {"size": fine, 'a "b"': 1, "timestamp_ns": 2},
            f"[{{'x': [{written}]}}]": [{"x": [fine]}],
            f"map {{{written}: 1, {written.replace('8009', '8010')}: 2}}": {fine: 1, Nanoseconds(moment, 10): 2},
            f"map {{'k': {written}}}": {"k": fine},
            f"row(1, {written})": [1, fine],
            f"union_value(u := {written})": fine,
            f"[union_value(u := {written}), null]": [fine, None],
            "'x'::union(moment timestamp_ns, text varchar)": "x",
            f"map {{[1]: {written}}}": {"key": [[1]], "value": [fine]},
            f"map {{{{'a': {written}}}: 1}}": {"key": [{"a": fine}], "value": [1]},
        }
        for end in ("", ";", "; -- done;", " -- done"):
            result = sandbox.execute("select 1 as a, 2 as a, " + ", ".join(expressions) + end)
            assert result.error is None
            assert result.columns[:2] == ("a", "a")
            assert result.types[2] == "TIMESTAMP_NS"
            for expression, value, expected in zip(expressions, result.rows[0][2:], expressions.values(), strict=True):
                assert value == expected, expression
                assert type(value) is type(expected), expression
        (zoned,) = sandbox.execute(f"select {written}::timestamptz_ns").rows[0]
        assert (zoned.moment.timestamp(), zoned.nanoseconds) == (
            moment.replace(tzinfo=zoned.moment.tzinfo).timestamp(),
            9,
        )
        assert str(fine) == "2013-07-04 05:06:07.000008009"
        assert str(zoned).startswith("2013-07-04 05:06:07.000008009+")
        ordered = sandbox.execute("from range(3) t(i) select make_timestamp_ns(i) order by i desc")
        assert [getattr(row[0], "nanoseconds", 0) for row in ordered.rows] == [2, 1, 0]

    @pytest.mark.parametrize(
        "expression",
        [
            "{}",
            "union_value(a := {})",
            "[union_value(a := {})]",
            "{{'it''s': union_value(a := {})}}",
            "map {{{{'a': {}}}: 1}}",
            "map {{[{}]: 1}}",
            "map {{1: union_value(a := {})}}",
            "map([union_value(a := {})], [1])",
            "row(1, [{}])",
            "array_value(union_value(a := {}))",
        ],
    )
    def test_no_nested_type_makes_different_values_equal(self, sandbox: SqlSandbox, expression: str) -> None:
        pairs = [
            ("interval '1 month'", "interval '30 days'"),
            ("'2020-01-01 00:00:00.000000001'::timestamp_ns", "'2020-01-01 00:00:00.000000002'::timestamp_ns"),
            ("10000000000000000000000000000000000000000::bignum", "10000000000000000000000000000000000000001::bignum"),
            ("'infinity'::date", "date '9999-12-31'"),
        ]
        query = "select " + ", ".join(["{}"] * len(pairs))
        gold = sandbox.execute(query.format(*(expression.format(one) for one, _ in pairs)))
        assert gold.error is None
        assert results_equal(gold, gold, ordered=False)
        for changed in range(len(pairs)):
            values = [expression.format(pair[place == changed]) for place, pair in enumerate(pairs)]
            answer = sandbox.execute(query.format(*values))
            assert answer.error is None
            assert not results_equal(answer, gold, ordered=False), values

    def test_whole_numbers_of_any_size_are_numbers(self, sandbox: SqlSandbox) -> None:
        gold = sandbox.execute("select 1, [2], -3, 1e300")
        answer = sandbox.execute("select 1::bignum, [2::bignum], union_value(a := -3::bignum), 1e300::double::bignum")
        assert results_equal(answer, gold, ordered=True)
        (huge,) = sandbox.execute(f"select {'1' + '0' * 400}::varchar::bignum").rows
        assert huge == (10**400,)
        assert not results_equal(Result(("a",), (huge,)), Result(("a",), ((1e308,),)), ordered=True)
        assert results_equal(Result(("a",), (huge,)), Result(("a",), (huge,)), ordered=True)

    def test_infinite_days_are_no_days(self, sandbox: SqlSandbox) -> None:
        """DuckDB gives Python the first and the last day that it knows in their place."""
        last, first = datetime.date.max, datetime.date.min
        expressions: dict[str, Any] = {
            "'infinity'::date": "infinity",
            "'-infinity'::date": "-infinity",
            "date '9999-12-31'": last,
            "date '0001-01-01'": first,
            "'infinity'::timestamp": "infinity",
            "'infinity'::timestamp_s": "infinity",
            "'-infinity'::timestamptz": "-infinity",
            "timestamp '9999-12-31 23:59:59.999999'": datetime.datetime.max,
            "timestamp '2013-07-04 05:06:07.000008'": datetime.datetime(2013, 7, 4, 5, 6, 7, 8),
            "['infinity'::date, date '2013-07-04', null]": ["infinity", datetime.date(2013, 7, 4), None],
            "{'a': date '9999-12-31', 'b': '-infinity'::timestamp}": {"a": last, "b": "-infinity"},
            "map {'infinity'::date: 1}": {"infinity": 1},
            "'infinity'::timestamp_ns": "infinity",
            "1.5": Decimal("1.5"),
        }
        result = sandbox.execute("select " + ", ".join(expressions))
        assert result.error is None
        assert result.types[:3] == ("DATE", "DATE", "DATE")
        for expression, value, expected in zip(expressions, result.rows[0], expressions.values(), strict=True):
            assert value == expected, expression
            assert type(value) is type(expected), expression
        gold = sandbox.execute("select date '9999-12-31'")
        assert not results_equal(sandbox.execute("select 'infinity'::date"), gold, ordered=False)

    @pytest.mark.parametrize(
        ("gold", "answer", "equal"),
        [
            ("interval '1 month'", "interval '30 days'", False),
            ("interval '1 month'", "interval '1 month'", True),
            ("interval '1 month 3 days'", "interval '33 days'", False),
            ("interval '1 month 3 days'", "interval '1 month 72 hours'", True),
            ("interval '1 year'", "interval '12 months'", True),
            ("interval '1 year'", "interval '360 days'", False),
            ("interval '1 month -30 days'", "interval '0 days'", False),
            ("interval '-1 month'", "interval '1 month'", False),
            ("interval '-1 year 2 months'", "interval '-10 months'", True),
            ("interval '1 day'", "interval '24 hours'", True),
            ("interval '-04:05:06.5'", "to_microseconds(-14706500000)", True),
            ("interval '-1 day 1 microsecond'", "interval '-1 day'", False),
            ("[{'a': interval '1 month'}]", "[{'a': interval '30 days'}]", False),
            ("age(date '2013-03-05', date '2013-01-31')", "date '2013-03-05' - timestamp '2013-01-31'", False),
            ("null::interval", "interval '0 days'", False),
            ("interval '100000000 years'", "interval '100000001 years'", False),
            ("to_days(1500000000)", "to_days(1500000001)", False),
        ],
    )
    def test_a_month_is_no_number_of_days(self, sandbox: SqlSandbox, gold: str, answer: str, equal: bool) -> None:
        expected, found = (sandbox.execute(f"select {value}") for value in (gold, answer))
        assert expected.error is None
        assert found.error is None
        assert results_equal(expected, expected, ordered=True)
        assert results_equal(found, expected, ordered=False) is equal

    def test_a_nanosecond_is_a_difference(self, sandbox: SqlSandbox) -> None:
        query = "select '2013-07-04 05:06:07.00000800{}'::{}"
        gold = sandbox.execute(query.format(9, "timestamp_ns"))
        for digit, kind, equal in ((9, "timestamp_ns", True), (8, "timestamp_ns", False), (9, "timestamp", False)):
            assert results_equal(sandbox.execute(query.format(digit, kind)), gold, ordered=False) == equal
        whole = sandbox.execute(query.format(0, "timestamp_ns"))
        assert results_equal(sandbox.execute(query.format(0, "timestamp")), whole, ordered=False), (
            "as types of numbers do"
        )


ATTACKS = {
    "read a file": "select * from read_csv('/etc/passwd')",
    "read a file by name": "select * from '/etc/passwd'",
    "read text": "select * from read_text('/etc/passwd')",
    "list files": "select * from glob('/*')",
    "sniff a file": "select * from sniff_csv('/etc/passwd')",
    "network": "select * from read_csv('https://example.com/x.csv')",
    "write a file": "copy t to '/tmp/stolen.csv'",
    "write a file by query": "copy (select 1) to '/tmp/stolen.csv'",
    "export": "export database '/tmp/stolen'",
    "attach": "attach '/tmp/other.duckdb' as other",
    "install": "install httpfs",
    "load": "load json",
    "pragma": "pragma version",
    "call": "call pragma_version()",
    "set": "set threads = 8",
    "reset": "reset memory_limit",
    "raise the limit": "set memory_limit = '100GB'",
    "log": "select * from enable_logging()",
    "create": "create table u (i int)",
    "create temporary": "create temp table u (i int)",
    "insert": "insert into nothing values (1)",
    "insert in a CTE": "with a as (insert into nothing values (1) returning i) select * from a",
    "update": "update t set i = 0",
    "delete": "delete from t",
    "drop": "drop table t",
    "transaction": "begin",
    "checkpoint": "checkpoint",
    "prepare": "prepare p as select 1",
    "explain": "explain analyze select count(*) from t",
    "two statements": "select 1; select 2",
    "hidden second statement": "select 1; -- ;\n drop table t",
    "no statement": "-- nothing",
    "python variable": "select * from connection",
    "secrets": "select * from duckdb_secrets()",
    "too many rows": "select * from t a, t b",
    "endless recursion": "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r",
    "huge cross join": "select sum(a.i * b.i * c.i * d.i) from t a, t b, t c, t d",
    "huge string": "select repeat('x', 2000000000)",
    "huge strings": "select string_agg(repeat('x', 1000000), '') from range(2000)",
    "slow function": "select length(repeat(repeat('x', 100000), 5000))",
    "huge list": "select range(100000000)",
    "large result": "select repeat('x', 1000000) from t limit 100",
    "deep nesting": "select " + "(" * 40_000 + "1" + ")" * 40_000,
    "deep list": "select " + "[" * 5_000 + "1" + "]" * 5_000,
    "long statement": "select '" + "x" * 200_000 + "'",
    "not SQL": "I think the answer is 42.",
    "lone surrogate": "select '\ud800'",
    "error": "select error('boom')",
    "environment": "select getenv('HOME')",
    "create from a pivot": "create table u as pivot t on name using sum(i)",
    "create temporary from a pivot": "create temp table u as pivot t on name using sum(i)",
    "create a view of a pivot": "create view u as pivot t on name using sum(i)",
    "insert a pivot": "insert into nothing select n0 from (pivot t on name using sum(i))",
    "insert a pivot in a CTE": "with a as (insert into nothing select n0 from (pivot t on name using sum(i)) "
    "returning i) select * from a",
    "copy a pivot": "copy (pivot t on name using sum(i)) to '/tmp/stolen.csv'",
    "pivot a file": "pivot '/etc/passwd' on column0 using count(*)",
    "pivot a read file": "pivot read_csv('/etc/passwd') on column0 using count(*)",
    "explain a pivot": "explain analyze pivot t on name using sum(i)",
    "set to a pivot": "set variable v = (select n0 from (pivot t on name using sum(i)))",
    "prepare a pivot": "prepare p as pivot t on name using sum(i)",
    "pivot and drop": "pivot t on name using sum(i); drop table t",
    "pivot out of its parentheses": "pivot t on name using sum(i)) as a; drop table t; select * from (select 1",
    "endless pivot": "pivot (select a.i % 2 as k, a.i + b.i + c.i as v from t a, t b, t c, t d) on k using sum(v)",
    "wide pivot": "pivot (select a.i * 1000 + b.i as k from t a, t b) on k using count(*)",
    "import": "import database '/tmp/stolen'",
    "comment on": "comment on table t is 'x'",
    "unpivot into a table": "create table u as unpivot t on i, x",
    "nested deeper than it may be": "select " + "[" * 80 + "1" + "]" * 80,
}


class TestAttacks:
    @pytest.mark.parametrize("name", ATTACKS)
    def test_is_an_error_and_the_next_query_works(self, sandbox: SqlSandbox, name: str) -> None:
        started = time.perf_counter()
        result = sandbox.execute(ATTACKS[name])
        assert result.error
        assert not result.rows
        assert time.perf_counter() - started < 2 * sql_sandbox.wall_limit(TIMEOUT) + 4
        assert sandbox.execute("select count(*), sum(i) from t").rows == ((1000, 499500),)
        assert not list(Path("/tmp").glob("stolen*"))

    def test_a_worker_that_died_while_it_was_idle_is_replaced(self, database: Path) -> None:
        with SqlSandbox(database) as sandbox:
            assert sandbox.execute("select 1").error is None
            assert sandbox._worker is not None
            sandbox._worker._process.kill()
            assert sandbox.execute("select 1").rows == ((1,),)

    def test_a_query_that_kills_a_fresh_worker_too_is_at_fault(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        class Dying(sql_sandbox._Worker):
            def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any] | None:
                if request.get("sql") == "select 'fatal'":
                    asked.append(request)
                    self._process.kill()
                    self._process.wait()
                return super().ask(request, timeout_seconds)

        monkeypatch.setattr(sql_sandbox, "_Worker", Dying)
        with SqlSandbox(database) as sandbox:
            assert sandbox.execute("select 1").rows == ((1,),)
            assert "crashed" in (sandbox.execute("select 'fatal'").error or "")
            assert len(asked) == 2
            assert sandbox.execute("select 1").rows == ((1,),)

    def test_idle_processor_time_is_not_a_querys(self, database: Path) -> None:
        with SqlSandbox(database, timeout_seconds=0.2) as sandbox:
            sandbox.execute("select 1")
            assert sandbox._worker is not None
            limits = Path(f"/proc/{sandbox._worker._process.pid}/limits")
            if not limits.exists():
                pytest.skip("needs /proc")
            (line,) = [line for line in limits.read_text().splitlines() if line.startswith("Max cpu time")]
            assert line.split()[3] == line.split()[4]

    @pytest.mark.skipif(not hasattr(os, "kill") or sys.platform == "win32", reason="needs SIGSTOP")
    @pytest.mark.parametrize("length", [10, 90_000])  # the longer one does not fit into a pipe that nobody reads
    def test_a_worker_that_hangs_is_killed_and_the_query_runs_in_another(self, database: Path, length: int) -> None:
        with SqlSandbox(database, timeout_seconds=0.05) as sandbox:
            assert sandbox.execute("select 1").error is None
            assert sandbox._worker is not None
            process = sandbox._worker._process
            os.kill(process.pid, signal.SIGSTOP)
            assert sandbox.execute(f"select length('{'x' * length}')").rows == ((length,),)
            assert process.poll() is not None
            assert sandbox.retried == 1

    @pytest.mark.skipif(not hasattr(os, "kill") or sys.platform == "win32", reason="needs SIGSTOP")
    def test_a_query_that_hangs_twice_is_unjudged(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Stopped(sql_sandbox._Worker):
            def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any] | None:
                if request.get("sql") == "select 'busy'":
                    os.kill(self._process.pid, signal.SIGSTOP)
                return super().ask(request, timeout_seconds)

        monkeypatch.setattr(sql_sandbox, "_Worker", Stopped)
        with SqlSandbox(database, timeout_seconds=0.04) as sandbox:
            result = sandbox.execute("select 'busy'")
            assert "time limit" in (result.error or "")
            assert result.hung
            assert sandbox.execute("select 1").rows == ((1,),)
            verifier = SqlVerifier(sandbox)
            assert verifier.verify("select 'busy'", {"sql": "select 1"}).reason == "unjudged"
            assert "2 queries hung" in verifier.remarks()[0]

    @pytest.mark.skipif(not hasattr(os, "kill") or sys.platform == "win32", reason="needs SIGSTOP")
    def test_time_is_the_processors(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker that gets no processor for longer than the limit, as on a busy machine, still answers."""

        class Busy(sql_sandbox._Worker):
            def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any] | None:
                if "sql" in request:
                    os.kill(self._process.pid, signal.SIGSTOP)
                    threading.Timer(0.8, os.kill, (self._process.pid, signal.SIGCONT)).start()
                return super().ask(request, timeout_seconds)

        monkeypatch.setattr(sql_sandbox, "_Worker", Busy)
        with SqlSandbox(database, timeout_seconds=0.5) as sandbox:
            assert sandbox.execute("select 1").rows == ((1,),)
            assert sandbox.retried == 0

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the kernel's limit on processor time")
    def test_the_kernel_ends_what_does_not_heed_its_interrupt(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Starved(sql_sandbox._Worker):
            def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any] | None:
                if "sql" in request:
                    os.kill(self._process.pid, signal.SIGXCPU)
                return super().ask(request, timeout_seconds)

        monkeypatch.setattr(sql_sandbox, "_Worker", Starved)
        with SqlSandbox(database) as sandbox:
            result = sandbox.execute("select 1")
        assert "the time limit of 5 s of processor time" in (result.error or "")
        assert result.timed_out

    @pytest.mark.parametrize(
        "reply",
        [
            {},
            {"columns": ["a"]},
            {"columns": 3, "rows": [], "seconds": 0},
            {"columns": [], "rows": [[{"a": 1, "b": 2}]], "seconds": 0},
            {"columns": [], "rows": [[{"nothing known": 1}]], "seconds": 0},
            {"columns": [], "rows": [[{"decimal": "x"}]], "seconds": 0},
            {"columns": [], "rows": [[{"nanoseconds": [{"datetime": "2013-07-04"}, 1000]}]], "seconds": 0},
            {"columns": [], "rows": [[{"nanoseconds": [1, 1]}]], "seconds": 0},
            {"columns": [], "rows": [[{"nanoseconds": []}]], "seconds": 0},
            {"error": "x", "seconds": None},
        ],
    )
    def test_a_subverted_worker_can_only_lie(
        self, database: Path, monkeypatch: pytest.MonkeyPatch, reply: dict[str, Any]
    ) -> None:
        with SqlSandbox(database) as sandbox:
            sandbox.execute("select 1")
            monkeypatch.setattr(sandbox._worker, "ask", lambda *_: reply)
            assert "malformed" in (sandbox.execute("select 1").error or "")

    def test_worker_has_neither_torch_nor_the_environment(self, database: Path) -> None:
        code = (
            "import sys; import burnish.rewards.sql; "
            "print([name for name in ('torch', 'numpy', 'duckdb', 'transformers') if name in sys.modules])"
        )
        assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
        if not sys.platform.startswith("linux"):
            return
        os.environ["BURNISH_TEST_SECRET"] = "hidden"
        with SqlSandbox(database) as sandbox:
            sandbox.execute("select 1")
            assert sandbox._worker is not None
            environment = Path(f"/proc/{sandbox._worker._process.pid}/environ").read_bytes()
        del os.environ["BURNISH_TEST_SECRET"]
        assert b"hidden" not in environment


class TestOpening:
    def test_errors_name_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(BurnishError, match=r"missing\.duckdb"):
            SqlSandbox(tmp_path / "missing.duckdb")
        bad = tmp_path / "bad.duckdb"
        bad.write_bytes(b"not a database" * 1000)
        with SqlSandbox(bad) as sandbox, pytest.raises(BurnishError, match=r"bad\.duckdb"):
            sandbox.execute("select 1")

    def test_memory_limit_is_checked(self, database: Path) -> None:
        with pytest.raises(BurnishError, match="'much'"):
            SqlSandbox(database, memory_limit="much")


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(JSON_LIKE)
def test_values_survive_json(value: object) -> None:
    back = sql_worker.decode(json.loads(json.dumps(sql_worker.encode(value), allow_nan=False)))
    assert back == value
    assert type(back) is type(value)


class TestVerifier:
    @pytest.mark.parametrize(
        ("completion", "row", "reason"),
        [
            ("select count(*) from t", {"sql": "select count(*) from t"}, "correct"),
            ("```sql\nselect count(i) as n from t;\n```", {"sql": "select count(*) from t"}, "correct"),
            ("select sum(i) from t", {"sql": "select count(*) from t"}, "wrong result"),
            ("select from t", {"sql": "select count(*) from t"}, "error"),
            ("drop table t", {"sql": "select count(*) from t"}, "error"),
            ("", {"sql": "select count(*) from t"}, "no sql"),
            ("select i from t order by i desc", {"sql": "select i from t order by i", "ordered": True}, "wrong order"),
            ("select i from t order by i desc", {"sql": "select i from t order by i", "ordered": False}, "correct"),
            ("<think>select 1", {"sql": "select count(*) from t"}, "no sql"),
            ("select 1000.0", {"sql": "select count(*) from t"}, "correct"),
            ("select 1000.0004", {"sql": "select count(*) from t"}, "wrong result"),
            ("select sum(x) from (from t order by i desc)", {"sql": "select sum(x) from t"}, "correct"),
            ("select 1.0000001::real", {"sql": "select 1::real"}, "correct"),
            ("select 1.0000001::real", {"sql": "select 1::double"}, "wrong result"),
        ],
    )
    def test_verdicts(self, sandbox: SqlSandbox, completion: str, row: dict[str, Any], reason: str) -> None:
        verifier = SqlVerifier(sandbox)
        verdict = verifier.verify(completion, row)
        assert verdict.reason == reason
        assert verdict.correct is (reason == "correct")
        assert verifier([Answer([], completion, row)] * 2) == [verdict, verdict]

    def test_gold_runs_once(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with SqlSandbox(database) as sandbox:
            asked: list[str] = []
            execute = sandbox.execute
            monkeypatch.setattr(sandbox, "execute", lambda sql, **options: asked.append(sql) or execute(sql, **options))
            verifier = SqlVerifier(sandbox)
            row = {"sql": "select max(i) from t"}
            for completion in ("select 1", "select 2", "select max(i) from t"):
                verifier.verify(completion, row)
            assert sorted(asked) == ["select 1", "select 2", "select max(i) from t"]

    def test_a_slow_gold_query_gets_ten_times_as_long_and_its_answers_twice_its_own(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seconds = {"gold": 8.0, "as slow": 15.0, "slower": 17.0, "quick gold": 1.0, "hopeless": 51.0}
        limits: list[tuple[str, float]] = []

        def execute(sql: str, *, timeout_seconds: float | None = None) -> Result:
            limit = timeout_seconds or 5.0
            limits.append((sql, limit))
            if seconds[sql] > limit:
                return Result(error="late", seconds=limit, timed_out=True)
            return Result(("a",), ((1,),), seconds=seconds[sql])

        with SqlSandbox(database) as sandbox:
            monkeypatch.setattr(sandbox, "execute", execute)
            verifier = SqlVerifier(sandbox)
            assert verifier.verify("as slow", {"sql": "gold"}).reason == "correct"
            assert verifier.verify("slower", {"sql": "gold"}).reason == "error"
            assert verifier.verify("as slow", {"sql": "quick gold"}).reason == "error"
            assert verifier.remarks() == []
            assert verifier.verify("quick gold", {"sql": "hopeless"}).reason == "unjudged"
            assert limits == [
                *(("gold", 5.0), ("gold", 50.0), ("as slow", 16.0), ("slower", 16.0)),
                *(("quick gold", 5.0), ("as slow", 5.0), ("hopeless", 5.0), ("hopeless", 50.0)),
            ]
            assert "no result in 50 s" in verifier.remarks()[0]

    def test_a_gold_query_that_finds_no_row_is_named(self, database: Path) -> None:
        with SqlSandbox(database) as sandbox:
            verifier = SqlVerifier(sandbox)
            nothing = {"sql": "select i\nfrom t where false"}
            assert verifier.verify("select 1 where 1 = 2", nothing).reason == "correct"
            assert verifier.verify("select 1", {"sql": "select 1"}).reason == "correct"
            (remark,) = verifier.remarks()
        assert remark.startswith("the `sql` of 1 tasks finds no row")
        assert remark.endswith("\n  select i from t where false")

    def test_a_gold_query_without_a_result_ends_nothing(self, database: Path) -> None:
        with SqlSandbox(database, timeout_seconds=0.02) as sandbox:
            verifier = SqlVerifier(sandbox)
            row = {"sql": "select sum(a.i * b.i * c.i * d.i)\nfrom t a, t b, t c, t d"}
            verdicts = verifier([Answer([], "select 1", row), Answer([], "select 2", {"sql": "select 2"})])
            assert [verdict.reason for verdict in verdicts] == ["unjudged", "correct"]
            assert "the time limit of 0.2 s" in verdicts[0].detail
            (remark,) = verifier.remarks()
            assert "answers to 1 tasks could not be judged" in remark
            assert "select sum(a.i * b.i * c.i * d.i) from t a" in remark

    @pytest.mark.parametrize(
        ("row", "query"),
        [
            ({"prompt": "?", "sql": " select 1\n"}, "select 1"),
            ({"prompt": "?", "sql": "select 1", "completion": "select 2"}, "select 1"),
            ({"prompt": "?", "sql": None, "completion": "Here:\n```sql\nselect 2\n```"}, "select 2"),
            ({"prompt": "?", "response": "<think>1?</think>select 2;"}, "select 2;"),
            ({"prompt": "?", "completion": [{"role": "assistant", "content": "select 2"}]}, "select 2"),
            ({"instruction": "?", "input": "", "output": "select 2"}, "select 2"),
            ({"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "select 2"}]}, "select 2"),
            (
                {
                    "messages": [
                        {"role": "user", "content": "?"},
                        {"role": "assistant", "content": "select 1"},
                        {"role": "user", "content": "And?"},
                        {"role": "assistant", "content": "select 2"},
                    ]
                },
                "select 2",
            ),
            ({"messages": [{"role": "user", "content": "?"}]}, None),
            ({"prompt": "?"}, None),
            ({"prompt": "?", "completion": ""}, None),
            ({"prompt": "?", "sql": ""}, None),
            ({"prompt": "?", "sql": ["select 1"], "completion": "select 2"}, None),
        ],
    )
    def test_the_expected_query_is_the_rows_sql_else_its_answer(
        self, sandbox: SqlSandbox, row: dict[str, Any], query: str | None
    ) -> None:
        assert gold_query(row) == query
        problem = SqlJudge(type="sql", database="x.duckdb").row_problem(row)
        assert (problem is None) == (query is not None)
        if query is None:
            with pytest.raises(DataError, match="a task needs `sql`"):
                SqlVerifier(sandbox).verify("select 2", row)
        else:
            assert SqlVerifier(sandbox).verify("select 2", row).correct == ("2" in query)

    def test_a_failing_gold_query_is_a_data_error(self, sandbox: SqlSandbox) -> None:
        with pytest.raises(DataError, match="select nonsense"):
            SqlVerifier(sandbox).verify("select 1", {"sql": "select nonsense"})
