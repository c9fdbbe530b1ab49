"""Verifiers as a recipe writes them; what they do is in `burnish.rewards`."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.corpus.records import shown
from burnish.recipes.schema.stage import FileReference, StrictModel

if TYPE_CHECKING:
    from burnish.rewards.sql import SqlSandbox, SqlVerifier


class VerifierConfig(StrictModel):
    """Judges SQL by running it: right if its result equals that of the task's query, in order where `ordered`.

    The task's query is its `sql`, or where it has none the one in its answer.
    """

    type: Literal["sql"] = Field(description="kind of verifier: sql")
    database: FileReference = Field(description="DuckDB or SQLite file that queries are run in, read-only")
    timeout_seconds: float = Field(5.0, gt=0, description="processor time of one query; one that takes longer is wrong")
    memory_limit: str = Field(
        "512MB",
        pattern=r"^\s*\d+(\.\d+)?\s*[KMGkmg][Ii]?[Bb]\s*$",
        description="memory of one query, such as 512MB or 1GiB",
    )

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        """What a task's row lacks to be judged."""
        from burnish.rewards.sql import gold_query

        if gold_query(row) is not None:
            return None
        if row.get("sql") is not None:
            return f"'sql' is {shown(row['sql'])}; expected a query, as text"
        return (
            f"the query whose result is expected is missing: '{self.type}' reads the text 'sql', else the row's answer"
        )

    @contextmanager
    def sandbox(
        self, resolve: Callable[[str], Path], tell: Callable[[str], None], cache: Path
    ) -> Iterator["SqlSandbox"]:
        """A running sandbox over the database.

        resolve: turns the reference into a path. tell: gets what could not be read from a SQLite file as it is.
        cache: where a SQLite file's copy is kept; a temporary folder where the run's is missing or cannot be written.
        """
        from burnish.rewards.sql import SqlSandbox
        from burnish.rewards.sql_from_sqlite import duckdb_copy, is_sqlite

        database = resolve(self.database)
        with ExitStack() as stack:
            if is_sqlite(database):
                kept = os.access(cache.parent, os.W_OK)
                folder = cache if kept else Path(stack.enter_context(TemporaryDirectory(prefix="burnish-")))
                database = duckdb_copy(database, folder / "databases", tell)
            yield stack.enter_context(
                SqlSandbox(database, memory_limit=self.memory_limit, timeout_seconds=self.timeout_seconds)
            )

    @contextmanager
    def open(self, resolve: Callable[[str], Path], tell: Callable[[str], None], cache: Path) -> Iterator["SqlVerifier"]:
        """A verifier ready to judge answers; `tell` also gets what was tried again or could not be judged."""
        from burnish.rewards.sql import SqlVerifier

        with self.sandbox(resolve, tell, cache) as sandbox:
            verifier = SqlVerifier(sandbox)
            yield verifier
            for remark in verifier.remarks():
                tell(remark)
