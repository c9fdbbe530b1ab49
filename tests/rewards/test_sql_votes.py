"""Several queries vote by what they return."""

from pathlib import Path

import pytest

from burnish.generation.answer import Answer
from burnish.rewards.sql import Result, SqlSandbox, SqlVerifier
from burnish.rewards.sql_votes import elect
from burnish.rewards.votes import Election


def of(*values: object) -> Result:
    """A result of one column."""
    return Result(("c",), tuple((value,) for value in values))


FAILED = Result(error="no such table")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([of(1)], Election(0, 1, 1)),
        ([of(1), of(2), of(2.0)], Election(1, 2, 3)),
        ([of(1), of(2)], Election(0, 1, 2)),  # of equally many votes the first
        ([FAILED, of(1), FAILED, FAILED], Election(1, 1, 1)),
        ([FAILED, FAILED], Election(0, 0, 0)),
        ([of(0.3), of(5), of(0.1 + 0.2)], Election(0, 2, 3)),
        ([of(), of(1), of()], Election(0, 2, 3)),  # no rows are a result too
        ([of(9), of(1, 2), of(2, 1), of(2, 1)], Election(2, 3, 4)),  # the order that most have
        ([of(None), of(0), of(None)], Election(0, 2, 3)),
    ],
)
def test_the_most_common_result_wins(results: list[Result], expected: Election) -> None:
    assert elect(results) == expected


def test_nobody_elects_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        elect([])


def test_completions_vote_by_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    duckdb.connect(str(tmp_path / "x.duckdb")).close()
    with SqlSandbox(tmp_path / "x.duckdb") as sandbox:
        asked: list[str] = []
        execute = sandbox.execute
        monkeypatch.setattr(sandbox, "execute", lambda sql: asked.append(sql) or execute(sql))
        answers = ["", "select 1", "```sql\nselect 2\n```", "select 1 + 1", "select from", "select 2", "select 1"]
        assert SqlVerifier(sandbox).elect([Answer([], text) for text in answers]) == Election(2, 3, 5)
        assert sorted(asked) == ["select 1", "select 1 + 1", "select 2", "select from"]
