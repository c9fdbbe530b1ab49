"""The SQL sandbox under attack, the comparison of results, and the verifier."""

import datetime
import json
import os
import subprocess
import sys
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
from burnish.rewards import sql, sql_worker
from burnish.rewards.sql import Result, SqlSandbox, SqlVerifier, extract_sql, results_equal

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


def rows(*values: tuple[Any, ...]) -> Result:
    return Result(tuple(f"c{i}" for i in range(len(values[0]) if values else 0)), values)


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
}


class TestAttacks:
    @pytest.mark.parametrize("name", ATTACKS)
    def test_is_an_error_and_the_next_query_works(self, sandbox: SqlSandbox, name: str) -> None:
        started = time.perf_counter()
        result = sandbox.execute(ATTACKS[name])
        assert result.error
        assert not result.rows
        assert time.perf_counter() - started < TIMEOUT + 4
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

        class Dying(sql._Worker):
            def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any] | None:
                if request.get("sql") == "select 'fatal'":
                    asked.append(request)
                    self._process.kill()
                    self._process.wait()
                return super().ask(request, timeout_seconds)

        monkeypatch.setattr(sql, "_Worker", Dying)
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
    def test_a_worker_that_hangs_is_killed(self, database: Path) -> None:
        import signal

        with SqlSandbox(database, timeout_seconds=0.2) as sandbox:
            assert sandbox.execute("select 1").error is None
            assert sandbox._worker is not None
            process = sandbox._worker._process
            os.kill(process.pid, signal.SIGSTOP)
            assert "time limit" in (sandbox.execute("select 1").error or "")
            assert process.poll() is not None
            assert sandbox.execute("select 1").rows == ((1,),)

    @pytest.mark.parametrize(
        "reply",
        [
            {},
            {"columns": ["a"]},
            {"columns": 3, "rows": [], "seconds": 0},
            {"columns": [], "rows": [[{"a": 1, "b": 2}]], "seconds": 0},
            {"columns": [], "rows": [[{"nothing known": 1}]], "seconds": 0},
            {"columns": [], "rows": [[{"decimal": "x"}]], "seconds": 0},
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


class TestComparison:
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
            (rows((float("nan"),)), rows((float("nan"),)), False, True),
            (rows((float("inf"),)), rows((1.0,)), False, False),
            (rows((10_000_000,)), rows((10_000_001,)), False, False),  # integers are exact
            (rows((10_000_000.0,)), rows((10_000_001,)), False, True),  # within 1e-6
            (rows((0.1 + 0.2,)), rows((0.3,)), False, True),
            (rows((1.0,)), rows((1.00001,)), False, False),
            (rows((0.0,)), rows((1e-15,)), False, True),
            (rows((10**40,)), rows((float(10**40),)), False, True),
            (rows((1,), (2,)), rows((2,), (1,)), False, True),
            (rows((1,), (2,)), rows((2,), (1,)), True, False),
            (rows((1,), (1,), (2,)), rows((1,), (2,), (2,)), False, False),
            (rows((1, 2)), rows((2, 1)), False, False),
            (rows((1,)), rows((1, 1)), False, False),
            (rows((1,)), rows((1,), (1,)), False, False),
            (rows((1.0, 5), (1.0 + 1e-9, 3)), rows((1.0, 3), (1.0 + 1e-9, 5)), False, True),
            (rows((1.0, 5), (2.0, 3)), rows((1.0, 3), (2.0, 5)), False, False),
            (rows((datetime.date(2013, 1, 1),)), rows((datetime.datetime(2013, 1, 1),)), False, True),
            (rows((datetime.date(2013, 1, 1),)), rows(("2013-01-01",)), False, False),
            (rows(([1, 0.3],)), rows(([1, 0.1 + 0.2],)), False, True),
            (rows(([1, 2],)), rows(([2, 1],)), False, False),
            (rows(({"a": 1},)), rows(({"a": 1.0},)), False, True),
            (rows(), rows(), True, True),
            (Result(("a",), ()), Result(("b",), ()), False, True),
            (Result(("a",), ()), Result(("a", "b"), ()), False, False),
            (Result(error="x"), Result(error="x"), False, False),
        ],
    )
    def test_equal(self, a: Result, b: Result, ordered: bool, equal: bool) -> None:
        assert results_equal(a, b, ordered=ordered) is equal
        assert results_equal(b, a, ordered=ordered) is equal

    @given(st.lists(st.tuples(st.floats(allow_nan=False), st.text(max_size=2)), max_size=8), st.randoms())
    def test_shuffled_rows_are_equal_unless_ordered(self, values: list[tuple[float, str]], random: Any) -> None:
        shuffled = list(values)
        random.shuffle(shuffled)
        a, b = Result(("x", "s"), tuple(values)), Result(("x", "s"), tuple(shuffled))
        assert results_equal(a, b, ordered=False)
        assert results_equal(a, a, ordered=True)


@pytest.mark.parametrize(
    ("completion", "sql"),
    [
        ("select 1", "select 1"),
        ("  select 1;\n", "select 1;"),
        ("```sql\nselect 1\n```", "select 1"),
        ("Here it is:\n```SQL\nselect 1\n```\nand\n```sql\nselect 2\n```", "select 1"),
        ("```\nselect 1\n```", "select 1"),
        ("```sql\nselect 1 from t\nwhere", "select 1 from t\nwhere"),
        ("", ""),
    ],
)
def test_extract_sql(completion: str, sql: str) -> None:
    assert extract_sql(completion) == sql


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
        ],
    )
    def test_verdicts(self, sandbox: SqlSandbox, completion: str, row: dict[str, Any], reason: str) -> None:
        verifier = SqlVerifier(sandbox)
        verdict = verifier(completion, row)
        assert verdict.reason == reason
        assert verdict.correct is (reason == "correct")
        assert verifier.verify_many([completion, completion], [row, row]) == [verdict, verdict]

    def test_gold_runs_once(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with SqlSandbox(database) as sandbox:
            asked: list[str] = []
            execute = sandbox.execute
            monkeypatch.setattr(sandbox, "execute", lambda sql: asked.append(sql) or execute(sql))
            verifier = SqlVerifier(sandbox)
            row = {"sql": "select max(i) from t"}
            for completion in ("select 1", "select 2", "select max(i) from t"):
                verifier(completion, row)
            assert sorted(asked) == ["select 1", "select 2", "select max(i) from t"]

    def test_a_failing_gold_query_is_a_data_error(self, sandbox: SqlSandbox) -> None:
        with pytest.raises(DataError, match="select nonsense"):
            SqlVerifier(sandbox)("select 1", {"sql": "select nonsense"})
