"""Judging SQL by running it: a sandbox for statements that a model wrote, and the verifier on top of it.

What a statement can do is bounded three times: by DuckDB's own settings and by the operating system's limits in
the worker process (see sql_worker.py), and by this side, which waits only so long and then kills the worker.
"""

import contextlib
import importlib.util
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from burnish.errors import BurnishError, DataError
from burnish.rewards import sql_worker
from burnish.rewards.sql_results import Result, results_equal
from burnish.rewards.verdict import Verdict

__all__ = ["Result", "SqlSandbox", "SqlVerifier", "extract_sql", "results_equal"]

_START_SECONDS = 60.0
_GRACE_SECONDS = 1.0  # for the worker's own interrupt to take effect before the worker is killed
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# What Python and the dynamic linker need to start; a query has no business with the rest of the environment.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
_FENCE = re.compile(r"```[ \t]*(?:sql|duckdb)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


class SqlSandbox:
    """Runs untrusted read statements on one DuckDB database.

    The worker starts with the first query and again after every query that killed it. Calls from several threads
    are taken one at a time. Use as a context manager, or call `close`.

    `memory_limit` is a number with a unit (KB, MB, GB, KiB, MiB, GiB); `timeout_seconds` is wall time for a query.
    Raises BurnishError when the database cannot be opened, DuckDB is missing or the limit cannot be read.
    """

    def __init__(
        self,
        database: str | Path,
        *,
        memory_limit: str = "512MB",
        timeout_seconds: float = 5.0,
        max_rows: int = 10_000,
    ) -> None:
        self.database = Path(database).resolve()
        self.timeout_seconds = timeout_seconds
        self.max_rows = max_rows
        self._memory_limit = _bytes(memory_limit)
        self._worker: _Worker | None = None
        self._lock = threading.Lock()
        if not self.database.is_file():
            raise BurnishError(f"{self.database}: no such DuckDB database")
        if importlib.util.find_spec("duckdb") is None:
            raise BurnishError("running SQL needs DuckDB: pip install 'burnish[sql]'")

    def execute(self, sql: str) -> Result:
        """Run one read statement. A refused, failing, slow or crashing one gives a Result with `error`."""
        with self._lock:
            idle = self._worker is not None
            reply, seconds = self._ask(sql)
            if idle and reply is None and seconds <= self.timeout_seconds:
                # It may have ended while it was idle: what a fresh one does says whether the query is at fault.
                reply, seconds = self._ask(sql)
        if reply is None and seconds > self.timeout_seconds:
            return Result(error=f"the time limit of {self.timeout_seconds:g} s was reached", seconds=seconds)
        if reply is None:
            return Result(error="the query crashed the SQL worker", seconds=seconds)
        return _result(reply)

    def close(self) -> None:
        """End the worker. A later query starts another one."""
        with self._lock:
            self._stop()

    def __enter__(self) -> "SqlSandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, sql: str) -> tuple[dict[str, Any] | None, float]:
        """The worker's reply, None where it ended or took too long, and the seconds that it took."""
        if self._worker is None:
            self._worker = self._start()
        started = time.perf_counter()
        reply = self._worker.ask({"sql": sql}, self.timeout_seconds + _GRACE_SECONDS)
        if reply is None or reply.get("last"):
            self._stop()
        return reply, time.perf_counter() - started

    def _start(self) -> "_Worker":
        worker = _Worker()
        reply = worker.ask(
            {
                "database": str(self.database),
                "memory_limit": self._memory_limit,
                "timeout_seconds": self.timeout_seconds,
                "max_rows": self.max_rows,
            },
            _START_SECONDS,
        )
        if reply is None or "error" in reply:
            worker.kill()
            reason = "the SQL worker did not start" if reply is None else reply["error"]
            raise BurnishError(f"{self.database}: cannot be opened for SQL: {reason}")
        return worker

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


class _Worker:
    """A worker process and the thread that reads its replies, so that waiting for one can have an end."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._process = subprocess.Popen(
            # -P: the folder of the script must not shadow modules of the standard library.
            [sys.executable, "-P", str(Path(sql_worker.__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._replies: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):  # the pipe was closed by `kill`
            while (reply := sql_worker.read_frame(self._process.stdout)) is not None:
                self._replies.put(reply)
        self._replies.put(None)

    def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any] | None:
        """The reply to `request`; None when the process ended or the time is over, after which it must be killed."""
        assert self._process.stdin is not None
        try:
            sql_worker.write_frame(self._process.stdin, request)
            return self._replies.get(timeout=timeout_seconds)
        except (OSError, queue.Empty):
            return None

    def kill(self) -> None:
        """End the process and wait for it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _result(reply: dict[str, Any]) -> Result:
    """The reply of a worker as a Result. The worker ran hostile SQL, so its reply is not trusted to be well formed."""
    try:
        if "error" in reply:
            return Result(error=str(reply["error"]), seconds=float(reply["seconds"]))
        rows = tuple(tuple(sql_worker.decode(row)) for row in reply["rows"])
        return Result(tuple(map(str, reply["columns"])), rows, None, float(reply["seconds"]))
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        return Result(error=f"the SQL worker sent a malformed reply: {error!r}")


def _bytes(text: str) -> int:
    """Bytes of a size such as "512MB"."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B)\s*", text, re.IGNORECASE)
    if match is None:
        raise BurnishError(f"memory_limit: expected a size such as '512MB' or '1GiB', got {text!r}")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def extract_sql(completion: str) -> str:
    """The SQL in a completion: its first fenced code block, closed or not, else the whole text."""
    match = _FENCE.search(completion)
    return (match[1] if match else completion).strip()


class SqlVerifier:
    """Judges a completion by whether its SQL returns what the row's gold SQL returns.

    A row has `sql`, the gold query, and may have `ordered`: whether the order of the rows counts (default: no).
    Verdicts: "correct", "wrong result", "wrong order", "error" (refused, failed or too slow) and "no sql".
    Raises DataError when a gold query itself fails.
    """

    def __init__(self, sandbox: SqlSandbox) -> None:
        self._sandbox = sandbox
        self._gold: dict[str, Result] = {}

    def __call__(self, completion: str, row: Mapping[str, Any]) -> Verdict:
        """Judge one completion."""
        sql = extract_sql(completion)
        if not sql:
            return Verdict(False, "no sql", "the completion is empty")
        gold = self.gold(row["sql"])
        result = gold if sql == row["sql"].strip() else self._sandbox.execute(sql)
        if result.error is not None:
            return Verdict(False, "error", result.error)
        ordered = bool(row.get("ordered", False))
        if results_equal(result, gold, ordered=ordered):
            return Verdict(True, "correct")
        if ordered and results_equal(result, gold, ordered=False):
            return Verdict(False, "wrong order", "the rows are right, their order is not")
        return Verdict(False, "wrong result", f"returned {_brief(result)}, expected {_brief(gold)}")

    def verify_many(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        """Judge `completions[i]` against `rows[i]`; equal answers to equal tasks, as samples often are, run once."""
        known: dict[tuple[str, str, bool], Verdict] = {}
        verdicts = []
        for completion, row in zip(completions, rows, strict=True):
            key = (extract_sql(completion), str(row["sql"]), bool(row.get("ordered", False)))
            if key not in known:
                known[key] = self(completion, row)
            verdicts.append(known[key])
        return verdicts

    def gold(self, sql: str) -> Result:
        """The result of a gold query, run once; DataError when it fails."""
        if sql not in self._gold:
            result = self._sandbox.execute(sql)
            if result.error is not None:
                raise DataError(f"{self._sandbox.database}: the gold query {sql!r} fails: {result.error}")
            self._gold[sql] = result
        return self._gold[sql]


def _brief(result: Result) -> str:
    """A result in one short line."""
    size = f"{len(result.rows)} x {len(result.columns)}"
    first = ", ".join(str(value) for value in result.rows[0]) if result.rows else "nothing"
    return f"{size} ({first[:80]}{'...' if len(result.rows) > 1 or len(first) > 80 else ''})"
