"""How a policy changed: the held-out curve begins before the first step, groups share a chart, answers side by side."""

import json
from pathlib import Path

import pytest

from burnish.errors import DataError
from burnish.report.learning import curves, learning, spread, together
from burnish.report.metric_charts import charts
from burnish.report.run_page import write_report
from burnish.runs.record import StageRecord, read_run
from conftest import write_rows


def write_training(stage: Path) -> None:
    """A training of four steps, measured before, after two and at the end, two answers to each of six tasks."""
    record = json.loads((stage / "stage.json").read_text())
    record["metrics"]["heldout"] = {"before": {"pass@1": 0.1, "pass@2": 0.2, "completions/mean_length/digits=2": 5.0}}
    (stage / "stage.json").write_text(json.dumps(record))
    events = [
        {"step": step, "completions/mean_length/digits=2": 4.0 + step, "completions/mean_length/digits=3": 6.0 + step}
        for step in range(4)
    ]
    for step, rate in ((1, 0.4), (3, 0.9)):
        events[step] |= {"eval_pass@1": rate, "eval_pass@2": rate + 0.05, "eval_completions/mean_length/digits=2": 9.0}
    write_rows(stage / "events.jsonl", events)
    for step in (0, 2, 4):
        write_rows(
            stage / "evaluations" / f"{step:06}.jsonl",
            (
                {
                    "prompt": [{"role": "user", "content": f"Add {task}"}],
                    "completion": f"<b>answer {task} after {step}, draw {draw}</b>",
                    "reward": 0.25 * step,
                    "tokens": 7,
                    "correct": step > 0,
                }
                for task in range(6)
                for draw in range(2)
            ),
        )


def trained(run_folder: Path) -> StageRecord:
    write_training(run_folder / "06-dpo")
    return next(stage for stage in read_run(run_folder).stages if stage.name == "dpo")


def test_curves_of_held_out_tasks_begin_before_the_first_step_and_share_charts(run_folder: Path) -> None:
    stage = trained(run_folder)
    assert curves(stage)["eval_pass@1"] == [(0.0, 0.1), (2.0, 0.4), (4.0, 0.9)]
    assert curves(stage)["completions/mean_length/digits=3"][0] == (0.0, 6.0)
    panels = together(curves(stage))
    assert [label for label, _ in panels["eval_pass@k"]] == ["pass@1", "pass@2"]
    assert [label for label, _ in panels["completions/mean_length by digits"]] == ["2", "3"]
    assert charts(stage)[0][0].title == "eval_pass@k"
    many = {f"reward/digits={value}": [(0.0, 1.0)] for value in range(9)}
    assert len(together(many)) == 9


def test_answers_are_shown_as_they_changed(run_folder: Path) -> None:
    shown = learning(trained(run_folder))
    assert shown is not None
    assert (shown.steps, shown.answers_each, shown.evaluations) == ([0, 2, 4], 2, 3)
    assert [task.question for task in shown.tasks] == ["Add 0", "Add 2", "Add 3", "Add 5"]
    assert spread(range(9), 4) == [0, 3, 5, 8]
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert "What the model said while it learned: dpo" in html
    assert "&lt;b&gt;answer 5 after 4, draw 0&lt;/b&gt;" in html
    assert "<b>answer" not in html


def test_damaged_answers_are_named(run_folder: Path) -> None:
    write_training(run_folder / "06-dpo")
    (run_folder / "06-dpo" / "evaluations" / "000002.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(DataError, match=r"000002\.jsonl:1: needs prompt, completion, reward and tokens"):
        write_report(run_folder)
