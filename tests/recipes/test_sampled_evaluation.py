"""Several answers to each task in `evaluate`: pass@k and cons@k are those of the files; a decoding grid."""

import json
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.methods import answering
from burnish.methods.decoding import Decoding, Grid
from burnish.recipes.runner.running import run
from burnish.report.run_page import render
from burnish.runs.record import read_run
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: sampled"
    + SAME_BITS
    + """stages:
  - type: evaluate
    tasks: tasks.jsonl
    models: {one: model, two: model}
    max_new_tokens: 3
    judges: [{type: regex, pattern: "[0-9A-M]"}, {type: python, file: length.py}]
    samples: 5
    k: [1, 2, 5]
    temperature: 1.0
"""
)
LENGTH = "def reward(prompt, completion, row):\n    return len(completion)\n"


def evaluated(folder: Path, *overrides: str, n: int = 4) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """The summary, `results.json`, and the run's folder."""
    recipe = make_workshop(folder, RECIPE)
    (folder / "length.py").write_text(LENGTH)
    (folder / "tasks.jsonl").write_text("".join(json.dumps({"prompt": f"{i} mod 3?"}) + "\n" for i in range(n)))
    summary = run(recipe, overrides=overrides, runs=folder / "runs", display=Display(quiet=True))
    return summary, json.loads((folder / "runs/sampled/01-evaluate/results.json").read_text()), folder / "runs/sampled"


def rows(run_folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_folder / "01-evaluate" / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], Path]:
    return evaluated(tmp_path_factory.mktemp("sampled"), "evaluate.grid={temperature: [0, 2.0], top_k: [3]}")


def test_the_measures_are_those_of_the_answers_in_the_file(finished: tuple[Any, Any, Path]) -> None:
    summary, results, folder = finished
    drawn = rows(folder, "sampled-one.jsonl")
    of_task = [[row for row in drawn if row["task"] == task] for task in range(4)]
    assert [len(answers) for answers in of_task] == [5] * 4
    right = [[row["correct"] for row in answers] for answers in of_task]
    assert 0 < sum(map(sum, right)) < 20
    measures = results["scores"]["one"]["measures"]
    assert list(measures) == [
        *("pass@1", "pass@2", "pass@5"),
        *(f"{name}@{k}" for name in ("cons", "weighted", "best") for k in (2, 5)),
    ]
    for k in (1, 2, 5):
        subsets = [mean(map(any, combinations(task, k))) for task in right]
        assert measures[f"pass@{k}"]["value"] == pytest.approx(mean(subsets))
        assert summary[f"pass@{k}"]["one"] == measures[f"pass@{k}"]["value"]
    assert results["scores"]["one"]["value"] == measures["pass@1"]["value"]
    assert summary["accuracy"]["one"] == measures["pass@1"]["value"]


def test_what_most_answers_come_to_is_shown_and_counts_for_cons(finished: tuple[Any, Any, Path]) -> None:
    _, results, folder = finished
    shown = rows(folder, "answers-one.jsonl")
    drawn = rows(folder, "sampled-one.jsonl")
    assert results["scores"]["one"]["measures"]["cons@5"]["value"] == mean(row["correct"] for row in shown)
    for task, row in enumerate(shown):
        right = [one["correct"] for one in drawn if one["task"] == task]
        assert row["mean"] == pytest.approx(mean(right))
        assert row["correct"] == any(right)  # a wrong answer has no match here, and so no vote
    page = render(read_run(folder))
    assert "pass@5" in page


def test_a_grid_measures_each_way_of_decoding_once(finished: tuple[Any, Any, Path]) -> None:
    _, results, folder = finished
    grid = results["scores"]["one"]["grid"]
    assert [point["decoding"] for point in grid] == [
        {"temperature": 1.0, "top_k": 0},
        {"temperature": 0.0, "top_k": 0},
        {"temperature": 2.0, "top_k": 3},
    ]
    greedy = grid[1]["measures"]
    assert greedy["pass@1"]["value"] == greedy["pass@5"]["value"] == greedy["cons@5"]["value"]
    page = render(read_run(folder))
    assert "Decoding" in page


def test_equal_models_do_not_differ(finished: tuple[Any, Any, Path]) -> None:
    _, results, _ = finished
    assert results["differences"] == [{"before": "one", "after": "two", "value": 0.0, "interval": [0.0, 0.0], "p": 1.0}]


def test_an_interrupted_evaluation_goes_on_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: tuple[Any, Any, Path]
) -> None:
    monkeypatch.setattr(answering, "CHUNK_COMPLETIONS", 10)
    _, whole, _ = evaluated(tmp_path / "whole")
    keep, seen = answering.write_json, []

    def stop_at_the_third(*arguments: Any, **options: Any) -> None:
        seen.append(arguments[0])
        if len(seen) == 3:
            raise KeyboardInterrupt
        keep(*arguments, **options)

    monkeypatch.setattr(answering, "write_json", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        evaluated(tmp_path / "stopped")
    monkeypatch.setattr(answering, "write_json", keep)
    assert evaluated(tmp_path / "stopped")[1] == whole


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluate.k=[8]", "evaluate.k: got 8, and there are samples: 5; expected at most as many"),
        ("evaluate.votes=3", "votes: got 3; the 5 samples of a task vote as well: leave it out"),
        ("evaluate.temperature=0.0", "at which all 5 samples of a task are the same"),
        ("evaluate.judges=[{type: choice}]", "options are chosen by likelihood, once, and there are samples: 5"),
        ("evaluate.grid={temprature: [1.0]}", "did you mean 'temperature'"),
        ("evaluate.grid={temperature: []}", "has no value to try"),
    ],
)
def test_what_contradicts_itself_is_said_before_anything_runs(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(BurnishError) as caught:
        evaluated(tmp_path, override)
    assert message.removeprefix("evaluate.") in str(caught.value)


def test_a_grid_leaves_out_what_is_the_same() -> None:
    own = Decoding(temperature=0.7)
    points = Grid(temperature=[0, 0.7], top_p=[0.9, 1.0]).around(own)
    assert [(one.temperature, one.top_p) for one in points] == [(0, 1.0), (0.7, 0.9)]
