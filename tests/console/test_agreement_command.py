"""`burnish data agreement`."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.console.agreement import compare
from burnish.datasets.annotations import read_annotations
from burnish.errors import DataError


def write(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_preferences_are_compared_whichever_way_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(tmp_path / "anna.jsonl", *(pair(f"q{n}", "a", "b") for n in range(4)), pair("q0", "a", "b"))
    second = write(
        tmp_path / "ben.jsonl", pair("q0", "a", "b"), pair("q1", "b", "a"), pair("q2", "a", "b"), pair("q2", "b", "a")
    )
    compare([first, second], None)
    said = capsys.readouterr().out
    assert "1 items are there twice" in said
    assert "anna.jsonl:1, 5" in said.replace("\n", "")
    assert "1 items are there with several labels" in said
    assert "50%" in said  # q0 and q1; q2 contradicts itself


def test_labels_are_read_by_their_key(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl", {"prompt": "q", "completion": "x", "good": 1}, {"prompt": "r", "completion": "y"}
    )
    with pytest.raises(DataError, match=r'a.jsonl:2: has no label: expected "good"'):
        read_annotations(file, key="good")
    with pytest.raises(DataError, match="expected chosen and rejected, or one of label"):
        read_annotations(file)
    one = write(tmp_path / "one.jsonl", {"prompt": "q", "label": True})
    other = write(tmp_path / "other.jsonl", {"prompt": "s", "label": True})
    with pytest.raises(DataError, match="have no item in common"):
        compare([one, other], None)
