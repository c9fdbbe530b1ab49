"""Distillation by text: a teacher's accepted answers, mixed with general data, are what a student is made of."""

import json
from pathlib import Path

from burnish.console.display import Display
from burnish.recipes.runner.running import run
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: text"
    + SAME_BITS
    + """stages:
  - type: sft
    name: teacher
    data: train.jsonl
    heldout: 0.1
    training: &training {learning_rate: 5e-3, batch_size: 8, epochs: 10, micro_batch_tokens: 256}
  - type: sample
    tasks: train.jsonl
    model: "@teacher"
    judges: [{type: exact}]
    samples: 2
    max_new_tokens: 16
    choose: accepted
  - type: sft
    name: student
    model: base
    data: ["@sample/chosen.jsonl", general.jsonl]
    heldout: 0
    training: {<<: *training, epochs: 1}
"""
)


def test_a_student_imitates_what_was_accepted_and_general_data(tmp_path: Path) -> None:
    recipe = make_workshop(tmp_path, RECIPE)
    rows = [{"prompt": f"{i} mod 3?", "completion": f"SELECT {i % 3}", "answer": f"SELECT {i % 3}"} for i in range(24)]
    general = [{"prompt": f"say {i}", "completion": f"prose {i}"} for i in range(5)]
    for name, values in (("train", rows), ("general", general)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    run(recipe, runs=tmp_path / "runs", display=Display(quiet=True))
    folder = tmp_path / "runs" / "text"
    chosen = [json.loads(line) for line in (folder / "02-sample" / "chosen.jsonl").read_text().splitlines()]
    answers = {row["prompt"]: row["completion"] for row in rows}
    assert chosen
    for row in chosen:
        assert row["messages"][-1]["content"] == answers[row["messages"][-2]["content"]]
    student = json.loads((folder / "03-student" / "stage.json").read_text())
    assert student["metrics"]["examples"] == len(chosen) + len(general)
