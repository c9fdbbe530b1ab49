"""Judging SQL by running it in a sandbox and comparing its result with that of the expected query."""

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judgement, verdict
from burnish.rewards.sql_results import Result, results_equal
from burnish.rewards.sql_sandbox import SqlSandbox
from burnish.rewards.sql_text import extract_sql, plain_sql
from burnish.rewards.sql_votes import elect
from burnish.rewards.votes import Election

__all__ = ["Result", "SqlSandbox", "SqlVerifier", "extract_sql", "gold_query", "results_equal"]

_PATIENCE = 10.0
"""How much longer than the limit a gold query may compute: the user wrote it, and it runs once."""
_ALLOWANCE = 2.0
"""How much longer than a gold query that is itself above the limit an answer may compute."""


def gold_query(row: Mapping[str, Any]) -> str | None:
    """The expected query of a task's row: its `sql`, else the query in its answer; None where it has neither.

    The answer is what the conversation ends with, or `completion`, `response` or `output`.
    """
    from burnish.datasets.formats import task_answer

    written = row.get("sql")
    if written is not None and not isinstance(written, str):
        return None
    found = written.strip() if written is not None else extract_sql(task_answer(row) or "")
    return found or None


def _needed(row: Mapping[str, Any]) -> str:
    query = gold_query(row)
    if query is None:
        raise DataError("a task needs `sql`, the query whose result is expected, or an answer to take it from")
    return query


class SqlVerifier:
    """Judges a completion by whether its SQL returns what the row's gold SQL returns.

    A row has a gold query (`gold_query`), and may have `ordered`: whether the order of the rows counts (default: no).
    Reasons: "correct", "wrong result", "wrong order", "error" (refused, failed or too slow), "no sql", and "unjudged"
    where the gold query finds no result in time, or the machine is too busy. Raises DataError when a gold query fails.
    """

    def __init__(self, sandbox: SqlSandbox) -> None:
        self.sandbox = sandbox
        self._gold: dict[str, Result] = {}

    def verify(self, completion: str, row: Mapping[str, Any]) -> Judgement:
        """Judge one completion."""
        sql = extract_sql(completion)
        if not sql:
            return verdict(False, "no sql", "the completion gives no query")
        expected = _needed(row)
        gold = self.gold(expected)
        if gold.error is not None:
            return verdict(False, "unjudged", f"the gold query found no result: {gold.error}")
        limit = max(self.sandbox.timeout_seconds, _ALLOWANCE * gold.seconds)
        result = gold if sql == expected else self.sandbox.execute(sql, timeout_seconds=limit)
        if result.error is not None:
            return verdict(False, "unjudged" if result.hung else "error", result.error)
        ordered = bool(row.get("ordered", False))
        if results_equal(result, gold, ordered=ordered):
            return verdict(True, "correct")
        if ordered and results_equal(result, gold, ordered=False):
            return verdict(False, "wrong order", "the rows are right, their order is not")
        return verdict(False, "wrong result", f"returned {_brief(result)}, expected {_brief(gold)}")

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer; equal ones to equal tasks, as samples often are, run once."""
        known: dict[tuple[str, str, bool], Judgement] = {}
        judgements = []
        for answer in answers:
            key = (extract_sql(answer.text), _needed(answer.row), bool(answer.row.get("ordered", False)))
            if key not in known:
                known[key] = self.verify(answer.text, answer.row)
            judgements.append(known[key])
        return judgements

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The answer whose result most of them have, without a look at any gold query; see `elect`."""
        results: dict[str, Result] = {"": Result(error="no query")}
        queries = [extract_sql(answer.text) for answer in answers]
        for sql in queries:
            if sql not in results:
                results[sql] = self.sandbox.execute(sql)
        return elect([results[sql] for sql in queries])

    def reasoning(self, answer: Answer, /) -> str | None:
        """The query of an answer, however it is written; None where it gives none."""
        return plain_sql(extract_sql(answer.text)) or None

    def gold(self, sql: str) -> Result:
        """The result of a gold query, run once, and once more with ten times the limit; DataError when it fails.

        A query that finds no result in that time either gives a Result that `timed_out` or `hung`.
        """
        if sql not in self._gold:
            result = self.sandbox.execute(sql)
            if result.timed_out:
                result = self.sandbox.execute(sql, timeout_seconds=_PATIENCE * self.sandbox.timeout_seconds)
            if result.error is not None and not (result.timed_out or result.hung):
                raise DataError(f"{self.sandbox.database}: the gold query {sql!r} fails: {result.error}")
            self._gold[sql] = result
        return self._gold[sql]

    def remarks(self) -> list[str]:
        """What a person should know about the judging so far: what was tried again, and what could not be judged."""
        remarks = []
        if self.sandbox.retried:
            remarks.append(f"{self.sandbox.retried:,} queries hung on this busy machine and were run again")
        slow = [sql for sql, result in self._gold.items() if result.error is not None]
        if slow:
            limit = _PATIENCE * self.sandbox.timeout_seconds
            remarks.append(
                f"answers to {len(slow):,} tasks could not be judged and count as wrong: their own `sql` found no "
                f"result in {limit:g} s; raise timeout_seconds or make it faster:\n{_listed(slow)}"
            )
        empty = [sql for sql, result in self._gold.items() if result.error is None and not result.rows]
        if empty:
            remarks.append(
                f"the `sql` of {len(empty):,} tasks finds no row, so any answer with as many columns that finds none "
                f"counts as right; ask for something that is there:\n{_listed(empty)}"
            )
        return remarks


def _listed(queries: Sequence[str]) -> str:
    """The first queries, a line each."""
    shown = "\n".join(f"  {' '.join(sql.split())[:160]}" for sql in queries[:10])
    return shown + (f"\n  and {len(queries) - 10} more" if len(queries) > 10 else "")


def _brief(result: Result) -> str:
    """A result in one short line."""
    size = f"{len(result.rows)} x {len(result.columns)}"
    first = ", ".join(str(value) for value in result.rows[0]) if result.rows else "nothing"
    return f"{size} ({first[:80]}{'...' if len(result.rows) > 1 or len(first) > 80 else ''})"
