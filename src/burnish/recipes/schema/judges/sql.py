"""SQL, judged by running it in the sandbox."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.corpus.records import shown
from burnish.recipes.schema.gold import check_gold
from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.stage import FileReference, StageContext
from burnish.rewards.sizes import PATTERN

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.rewards.sql import SqlSandbox, SqlVerifier


class SqlJudge(JudgeBase):
    """SQL by running it: right if its result equals that of the task's query, in order where `ordered`.

    The task's query is its `sql`, or where it has none the one in its answer.
    """

    type: Literal["sql"] = Field(description="kind of judge: sql")
    database: FileReference = Field(description="DuckDB or SQLite file that queries are run in, read-only")
    timeout_seconds: float = Field(5.0, gt=0, description="processor time of one query; one that takes longer is wrong")
    memory_limit: str = Field(
        "512MB",
        pattern=PATTERN,
        description="memory of one query, such as 512MB or 1GiB",
    )

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.sql import gold_query

        if gold_query(row) is not None:
            return None
        if row.get("sql") is not None:
            return f"'sql' is {shown(row['sql'])}; expected a query, as text"
        return "the query whose result is expected is missing: 'sql' reads the text 'sql', else the row's answer"

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        check_gold(context, self, tasks)

    @contextmanager
    def sandbox(self, context: StageContext) -> Iterator["SqlSandbox"]:
        """A running sandbox over the database, of a SQLite file over a copy in the run's cache."""
        from burnish.rewards.sql import SqlSandbox
        from burnish.rewards.sql_from_sqlite import duckdb_copy, is_sqlite

        database = context.path(self.database)
        with ExitStack() as stack:
            if is_sqlite(database):
                # A temporary folder where the run's is missing or cannot be written.
                kept = os.access(context.cache.parent, os.W_OK)
                folder = context.cache if kept else Path(stack.enter_context(TemporaryDirectory(prefix="burnish-")))
                database = duckdb_copy(database, folder / "databases", context.warn)
            yield stack.enter_context(
                SqlSandbox(database, memory_limit=self.memory_limit, timeout_seconds=self.timeout_seconds)
            )

    @contextmanager
    def open(self, context: StageContext) -> Iterator["SqlVerifier"]:
        from burnish.rewards.sql import SqlVerifier

        with self.sandbox(context) as sandbox:
            verifier = SqlVerifier(sandbox)
            yield verifier
            for remark in verifier.remarks():
                context.warn(remark)
