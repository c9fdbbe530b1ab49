"""What `burnish data check` says of files of judged answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.recipes.data_check import describe

GOOD = {"prompt": "a", "chosen": "b", "rejected": "c"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([GOOD], "1 preference (prompt format)"),
        (
            [GOOD, {**GOOD, "rejected": ""}, {**GOOD, "rejected": "b"}],
            "3 preferences (prompt format)\n2 rows of it will be dropped:\n"
            '  {file}:2: the rejected answer is empty\n  {file}:3: chosen and rejected are equal ("b")',
        ),
        ([{"prompt": "a", "responses": ["b", "c", "d"]}] * 2, "2 ranked lists of 6 answers"),
        (
            [{"prompt": "a", "completion": "", "label": True}],
            "1 labelled answer, 1 of them desired\n1 row of it will be dropped:\n  {file}:1: the answer is empty",
        ),
        (
            [{"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}],
            "1 preference (implicit-prompt preference format)",
        ),
    ],
)
def test_judged_answers(rows: list[dict[str, Any]], expected: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert describe(file) == expected.format(file=file)


def test_only_the_first_rows_that_will_be_dropped_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [GOOD, *[{**GOOD, "chosen": ""}] * 9]))
    lines = describe(file).splitlines()
    assert (len(lines), lines[-1]) == (8, "  and 4 more")
