"""Verifiers as a recipe writes them; what they do is in `burnish.rewards`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.corpus.records import shown
from burnish.recipes.stage import FileReference, StrictModel

if TYPE_CHECKING:
    from burnish.rewards.sql import SqlSandbox, SqlVerifier


class VerifierConfig(StrictModel):
    """Judges SQL by running it: right if its result equals that of the task's query, in order where `ordered`.

    The task's query is its `sql`, or where it has none the one in its answer.
    """

    type: Literal["sql"] = Field(description="kind of verifier: sql")
    database: FileReference = Field(description="DuckDB file that queries are run in, read-only")
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
    def sandbox(self, resolve: Callable[[str], Path]) -> Iterator["SqlSandbox"]:
        """A running sandbox over the database; `resolve` turns the reference into a path."""
        from burnish.rewards.sql import SqlSandbox

        with SqlSandbox(
            resolve(self.database), memory_limit=self.memory_limit, timeout_seconds=self.timeout_seconds
        ) as sandbox:
            yield sandbox

    @contextmanager
    def open(self, resolve: Callable[[str], Path], tell: Callable[[str], None]) -> Iterator["SqlVerifier"]:
        """A verifier ready to judge answers; in the end `tell` gets what was tried again or could not be judged."""
        from burnish.rewards.sql import SqlVerifier

        with self.sandbox(resolve) as sandbox:
            verifier = SqlVerifier(sandbox)
            yield verifier
            for remark in verifier.remarks():
                tell(remark)
