"""The judges of reasoning in recipes: tasks of reasoning-gym, settings of the graded format, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from workshop import SAME_BITS, make_workshop

EVALUATE = (
    "name: judged"
    + SAME_BITS
    + """stages:
  - type: evaluate
    tasks: tasks.jsonl
    models: {one: model}
    max_new_tokens: 6
    judges: JUDGES
"""
)
GYM = (
    "name: gym"
    + SAME_BITS
    + """stages:
  - type: reasoning_gym
    tasks: {coin_flip: {min_trials: 1, max_trials: 2}, spell_backward: {}}
    size: 12
    heldout: 6
  - type: evaluate
    tasks: "@reasoning_gym/heldout.jsonl"
    models: {one: model}
    max_new_tokens: 6
    judges: [{type: reasoning_gym, partial: false}]
"""
)
SUMS = [{"prompt": f"{i} mod 3?", "answer": i % 3, "language": "en"} for i in range(2)]


def evaluated(folder: Path, judges: str) -> dict[str, Any]:
    recipe = make_workshop(folder, EVALUATE.replace("JUDGES", judges))
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SUMS))
    run(recipe, runs=folder / "runs", display=Display(quiet=True))
    stage = json.loads((folder / "runs" / "judged" / "01-evaluate" / "stage.json").read_text())
    found: dict[str, Any] = stage["metrics"]["scores"]["one"]["judges"]
    return found


def test_judges_of_reasoning_work_side_by_side(tmp_path: Path) -> None:
    pytest.importorskip("math_verify")
    pytest.importorskip("py3langid")
    judges = """
      - {type: math}
      - {type: cosine, of: {type: numbers}, max_length: 50, wrong: [-3, -3]}
      - {type: format, full: 2, none: -1, think_tags: [<a>, </a>]}
      - {type: language, among: [en, de]}
      - {type: numbers, answer_tags: [<b>, </b>]}
      - {type: repetition, n: 2}
      - {type: repetition, name: whole, n: 2, by_token: false}
"""
    found = evaluated(tmp_path, judges)
    assert {name: one["kind"] for name, one in found.items()} == {
        "math": "accuracy", "cosine": "accuracy", "format": "score", "language": "score", "numbers": "accuracy",
        "repetition": "score", "whole": "score",
    }  # fmt: skip
    assert found["format"]["value"] == -1


@pytest.mark.parametrize(
    ("judges", "message"),
    [
        ("[{type: math, key: sum}]", r"tasks\.jsonl:1: 'sum': got None; expected a number or a formula"),
        ("[{type: reasoning_gym}]", r"tasks\.jsonl:1: 'reasoning_gym': got None"),
        ("[{type: language, key: lang}]", r"tasks\.jsonl:1: 'lang': got null; expected the code of a language"),
        ("[{type: cosine, of: {type: exact, key: word}, max_length: 9, correct: [1]}]", "correct"),
        ("[{type: cosine, of: {type: format}, max_length: 9}]", "of"),
        ("[{type: format, answer_tags: [a, a]}]", "expected two texts that differ"),
        (
            "[{type: python, file: bad.py}]",
            r"judge 'python': nan for the answer '.*' to .*tasks\.jsonl:1; return finite",
        ),
        (
            "[{type: python, file: bad.py, function: word}]",
            r"fails for the answer '.*' to .*tasks\.jsonl:1: TypeError: it returned 'good'; expected a number, True",
        ),
        (
            "[{type: python, file: bad.py, function: leaves}]",
            r"fails for the answer '.*' to .*tasks\.jsonl:1: SystemExit: 3",
        ),
    ],
)
def test_what_cannot_be_judged_is_named(judges: str, message: str, tmp_path: Path) -> None:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "bad.py").write_text(
        "def reward(prompt, completion, row):\n    return float('nan')\n"
        "def word(prompt, completion, row):\n    return 'good'\n"
        "def leaves(prompt, completion, row):\n    raise SystemExit(3)\n"
    )
    with pytest.raises(BurnishError, match=message):
        evaluated(tmp_path, judges)


@pytest.mark.slow
def test_tasks_of_reasoning_gym_are_made_and_scored(tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym")
    recipe = make_workshop(tmp_path, GYM)
    notes = "\n".join(make_plan(recipe, runs=tmp_path / "runs").notes)
    assert "coin_flip rewards what solves nothing: an empty answer earns 0.00, always the same one" in notes
    run(recipe, runs=tmp_path / "runs", display=Display(quiet=True))
    folder = tmp_path / "runs" / "gym" / "01-reasoning_gym"
    train, heldout = (
        [json.loads(x) for x in (folder / f).read_text().splitlines()] for f in ("tasks.jsonl", "heldout.jsonl")
    )
    asked = [row["prompt"] for row in train + heldout]
    assert len(set(asked)) == len(asked)
    assert {row["task"] for row in heldout} == {"coin_flip", "spell_backward"}
    metrics = json.loads((folder / "stage.json").read_text())["metrics"]
    assert metrics["tasks"] == len(train)
    assert metrics["floors"]["coin_flip"]["constant"] > 0
    judged = json.loads((tmp_path / "runs" / "gym" / "02-evaluate" / "stage.json").read_text())["metrics"]["scores"][
        "one"
    ]
    assert (judged["kind"], judged["value"]) == ("accuracy", 0.0)


def test_tasks_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym")
    tasks = "{coin_flips: {}, coin_flip: {trials: 3}, countdown: {seed: 3}}"
    recipe = make_workshop(
        tmp_path, GYM.replace("{coin_flip: {min_trials: 1, max_trials: 2}, spell_backward: {}}", tasks)
    )
    with pytest.raises(BurnishError) as raised:
        make_plan(recipe, runs=tmp_path / "runs")
    for message in (
        "no task 'coin_flips'; did you mean coin_flip",
        "unexpected keyword argument 'trials'",
        "the seed is the recipe's",
    ):
        assert message in str(raised.value)
