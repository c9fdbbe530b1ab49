"""A sandbox for SQL that a model wrote.

What a statement can do is bounded three times: by DuckDB's own settings and by the operating system's limits in
the worker process (see sql_worker.py), and by this side, which waits only so long and then kills the worker.

A query's time is the processor's, so that a machine under load makes no right answer wrong. Where a worker shows no
sign of life for much longer than that (`wall_limit`), the query is given to a fresh one, once.
"""

import importlib.util
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from burnish.errors import BurnishError
from burnish.rewards import sql_worker
from burnish.rewards.sizes import size_in_bytes
from burnish.rewards.sql_results import Result
from burnish.rewards.worker import ScriptWorker, wall_limit

_START_SECONDS = 60.0


def require_duckdb() -> None:
    """Raise BurnishError where DuckDB is not installed."""
    if importlib.util.find_spec("duckdb") is None:
        raise BurnishError("running SQL needs DuckDB: pip install 'burnish[sql]'")


class SqlSandbox:
    """Runs untrusted read statements on one DuckDB database.

    The worker starts with the first query and again after every query that killed it. Calls from several threads
    are taken one at a time. Use as a context manager, or call `close`.

    `memory_limit` is a number with a unit (KB, MB, GB, KiB, MiB, GiB); `timeout_seconds` is the processor's time for a
    query. `retried` counts the queries that a fresh worker had to take over because the first one hung.
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
        self.retried = 0
        self._memory_limit = size_in_bytes(memory_limit)
        self._worker: _Worker | None = None
        self._lock = threading.Lock()
        if not self.database.is_file():
            raise BurnishError(f"{self.database}: no such DuckDB database")
        require_duckdb()

    def execute(self, sql: str, *, timeout_seconds: float | None = None) -> Result:
        """Run one read statement. A refused, failing, slow or crashing one gives a Result with `error`.

        timeout_seconds: for this query, instead of the sandbox's.
        """
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        if len(sql) > sql_worker.MAX_SQL_CHARACTERS:
            return Result(error=f"the statement is longer than {sql_worker.MAX_SQL_CHARACTERS} characters")
        with self._lock:
            idle = self._worker is not None
            reply, end = self._ask(sql, seconds)
            if end == "hung":
                self.retried += 1
            if end == "hung" or (end == "crashed" and idle):
                # A worker that had been idle may have ended by then: a fresh one tells whether the query is at fault.
                reply, end = self._ask(sql, seconds)
        if reply is not None:
            return _result(reply, seconds)
        if end == "slow":
            return _timed_out(seconds, seconds)
        if end == "hung":
            wall = wall_limit(seconds)
            error = (
                f"the time limit of {wall:g} s on the clock was reached, twice: this machine is too busy to judge it"
            )
            return Result(error=error, hung=True)
        return Result(error="the query crashed the SQL worker")

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

    def _ask(self, sql: str, timeout_seconds: float) -> tuple[dict[str, Any] | None, str]:
        """The worker's reply; None where there is none, with how it ended: "slow", "hung" or "crashed"."""
        if self._worker is None:
            self._worker = self._start()
        worker = self._worker
        reply = worker.ask({"sql": sql, "timeout_seconds": timeout_seconds}, wall_limit(timeout_seconds))
        end = worker.end() if reply is None else ""
        if reply is None or reply.get("last"):
            self._stop()
        return reply, end

    def _start(self) -> "_Worker":
        worker = _Worker()
        reply = worker.ask(
            {
                "database": str(self.database),
                "memory_limit": self._memory_limit,
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


class _Worker(ScriptWorker):
    """The process that runs queries."""

    def __init__(self) -> None:
        super().__init__(Path(sql_worker.__file__))


def _result(reply: dict[str, Any], timeout_seconds: float) -> Result:
    """The reply of a worker as a Result. The worker ran hostile SQL, so its reply is not trusted to be well formed."""
    try:
        seconds = float(reply["seconds"])
        if reply.get("timed_out") is True:
            return _timed_out(timeout_seconds, seconds)
        if "error" in reply:
            return Result(error=str(reply["error"]), seconds=seconds)
        columns, types = tuple(map(str, reply["columns"])), tuple(map(str, reply["types"]))
        rows = tuple(tuple(sql_worker.decode(row)) for row in reply["rows"])
        if any(len(row) != len(columns) for row in rows) or len(types) != len(columns):
            raise ValueError("rows and columns do not fit together")
        return Result(columns, rows, None, seconds, types)
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        return Result(error=f"the SQL worker sent a malformed reply: {error!r}")


def _timed_out(timeout_seconds: float, seconds: float) -> Result:
    error = f"the time limit of {timeout_seconds:g} s of processor time was reached"
    return Result(error=error, seconds=seconds, timed_out=True)
