"""Kinds of tasks by their shares in every step of supervised fine-tuning."""

from collections import Counter
from pathlib import Path

import pytest

from burnish.corpus.mixture import Mixture
from burnish.datasets.mixing import mixed_steps
from burnish.datasets.rows import read_conversations
from burnish.errors import DataError

KINDS = ["qa"] * 60 + ["summary"] * 12 + [None] * 8


def test_every_step_has_the_shares_of_the_kinds() -> None:
    mixture = Mixture.model_validate({"weights": {"qa": 0.5, "summary": 0.4, "unnamed": 0.1}, "max_repeats": 3.0})
    steps = mixed_steps(KINDS, mixture, batch_size=10, epochs=1, seed=0)
    assert [len(step) for step in steps] == [10] * 8
    for step in steps:
        of_kind = Counter(KINDS[number] for number in step)
        assert abs(of_kind["qa"] - 5) <= 1
        assert abs(of_kind["summary"] - 4) <= 1
        assert abs(of_kind[None] - 1) <= 1
    read = Counter(number for step in steps for number in step)
    assert {read[number] for number in range(60, 72)} == {2, 3}
    assert steps == mixed_steps(KINDS, mixture, batch_size=10, epochs=1, seed=0)
    assert steps != mixed_steps(KINDS, mixture, batch_size=10, epochs=1, seed=1)


def test_a_row_names_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"prompt": "a", "completion": "b", "task_type": "qa"}\n{"prompt": "a", "completion": "c", "task_type": null}\n'
    )
    rows = read_conversations(file)
    assert [(row.task_type, row.unused) for row in rows] == [("qa", ()), (None, ())]
    renamed = read_conversations(file, columns={"task_type": "completion"})
    assert [row.task_type for row in renamed] == ["b", "c"]
    file.write_text('{"prompt": "a", "completion": "b", "task_type": 3}\n')
    with pytest.raises(DataError, match="1: task_type is 3; expected the name of a kind of task"):
        read_conversations(file)
