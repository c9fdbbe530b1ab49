"""Held-out tasks while a policy learns: measured before, on the way and at the end, by group; mistakes are named."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_grpo_stage import Killed, KillingDisplay, trained, workshop

from burnish.errors import BurnishError
from burnish.evaluation.pass_at_k import pass_at_k
from burnish.recipes.runner.running import run
from burnish.training.events import read_events

MEASURED: dict[str, Any] = {
    "rewards": [
        {"type": "regex", "pattern": "a"},
        {"type": "words", "words": ["e"], "weight": 0.0, "name": "e_alone"},
    ],
    "eval_tasks": "heldout.jsonl",
    "groups": "kind",
    "num_generations_eval": 6,
    "training": {"eval_steps": 2},
}


def measured(folder: Path, **changes: Any) -> Path:
    """A workshop whose training is measured on three held-out tasks of two kinds."""
    recipe = workshop(folder, **(MEASURED | changes))
    for name, count in (("tasks", 6), ("heldout", 3)):
        rows = ({"prompt": f"word {n}", "kind": "even" if n % 2 == 0 else "odd"} for n in range(count))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return recipe


def answers(stage: Path, step: int) -> list[dict[str, Any]]:
    """What was said to the held-out tasks after so many steps."""
    text = (stage / "evaluations" / f"{step:06}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_policy_is_measured_before_on_the_way_and_at_the_end(tmp_path: Path) -> None:
    stage = trained(measured(tmp_path))
    assert sorted(path.stem for path in (stage / "evaluations").iterdir()) == ["000000", "000002", "000003"]
    events = read_events(stage)
    assert ["eval_reward" in event for event in events] == [False, True, True]
    for step, found in ((2, events[1]), (3, events[2])):
        rows = answers(stage, step)
        assert len(rows) == 3 * 6
        right = [sum(row["correct"] for row in rows[start : start + 6]) for start in (0, 6, 12)]
        assert all(row["correct"] == (row["rewards"]["regex"] == 1) for row in rows)
        assert found["eval_pass@1"] == pytest.approx(sum(right) / 18)
        assert found["eval_pass@6"] == pytest.approx(sum(pass_at_k(6, count, 6) for count in right) / 3)
        assert found["eval_pass@1/kind=even"] == pytest.approx((right[0] + right[2]) / 12)
        assert found["eval_rewards/e_alone/mean"] == pytest.approx(
            sum(row["rewards"]["e_alone"] for row in rows) / 18, abs=1e-5
        )
        odd = sum(row["tokens"] for row in rows[6:12]) / 6
        assert found["eval_completions/mean_length/kind=odd"] == pytest.approx(odd)
        assert found["eval_loss"] == -found["eval_reward"]
    assert {"reward/kind=even", "completions/mean_length/kind=odd"} <= events[0].keys() | events[1].keys()
    heldout = json.loads((stage / "stage.json").read_text())["metrics"]["heldout"]
    assert heldout["rows"] == 3
    assert heldout["after"]["reward"] == events[2]["eval_reward"]
    summary = json.loads((stage.parent / "summary.json").read_text())
    assert summary["heldout"]["grpo"]["before"].keys() == heldout["after"].keys()


OTHERS = {
    "ppo": {"type": "ppo", "num_ppo_epochs": 2, "num_generations": 2},
    "online rft": {"type": "rft", "online": True},
    "rft": {
        "type": "rft",
        "rollouts": 1,
        "rewards": [{"type": "regex", "pattern": "."}],
        "stop": [*"qSetnrio ", *"0123456789"],
        "max_new_tokens": 12,
        "training": {"eval_steps": 2, "epochs": 2.0},
    },
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS.keys())
def test_other_methods_that_sample_are_measured_alike(tmp_path: Path, changes: dict[str, Any]) -> None:
    trained(recipe := measured(tmp_path, **changes))
    stage = recipe.parent / "runs" / "numbers" / f"01-{changes['type']}"
    events = read_events(stage)
    evaluated = [number for number, event in enumerate(events, 1) if "eval_reward" in event]
    assert evaluated == [number for number in range(1, len(events) + 1) if number % 2 == 0 or number == len(events)]
    assert sorted(int(file.stem) for file in (stage / "evaluations").iterdir()) == [0, *evaluated]
    for step in evaluated:
        rows, found = answers(stage, step), events[step - 1]
        assert found["eval_pass@1"] == pytest.approx(sum(row["correct"] for row in rows) / 18)
        even = [row["tokens"] for row in [*rows[:6], *rows[12:]]]
        assert found["eval_completions/mean_length/kind=even"] == pytest.approx(sum(even) / 12)
    assert {"reward/kind=even", "reward/kind=odd"} <= set[str]().union(*events)
    heldout = json.loads((stage / "stage.json").read_text())["metrics"]["heldout"]
    assert heldout["after"]["reward"] == events[-1]["eval_reward"]
    summary = json.loads((stage.parent / "summary.json").read_text())
    assert summary["heldout"][changes["type"]]["rows"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS.keys())
def test_measuring_the_other_methods_changes_nothing_either(tmp_path: Path, changes: dict[str, Any]) -> None:
    def model(folder: Path, *, kill: int | None = None, **further: Any) -> bytes:
        recipe = measured(folder, **(changes | further))
        if kill is not None:
            with pytest.raises(Killed):
                run(recipe, runs=recipe.parent / "runs", display=KillingDisplay(kill))
        trained(recipe)
        stage = recipe.parent / "runs" / "numbers" / f"01-{changes['type']}"
        return (stage / "model" / "model.safetensors").read_bytes()

    whole = model(tmp_path / "whole")
    training = {key: value for key, value in changes.get("training", {}).items() if key != "eval_steps"}
    assert model(tmp_path / "alone", eval_tasks=None, training=training) == whole
    assert model(tmp_path / "killed", kill=2) == whole


@pytest.mark.slow
def test_measuring_changes_nothing_and_a_killed_run_measures_the_same(tmp_path: Path) -> None:
    stage = trained(measured(tmp_path / "whole"))
    alone = trained(measured(tmp_path / "alone", eval_tasks=None, training={}))
    assert (stage / "model" / "model.safetensors").read_bytes() == (alone / "model" / "model.safetensors").read_bytes()
    killed = measured(tmp_path / "killed")
    with pytest.raises(Killed):
        run(killed, runs=killed.parent / "runs", display=KillingDisplay(2))
    again = trained(killed)
    for step in (0, 2, 3):
        assert answers(again, step) == answers(stage, step)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"eval_tasks": None}, "training.eval_steps: got 2, and nothing is held out: set `eval_tasks`"),
        (
            {"eval_tasks": None, "training": {}, "eval_judges": [{"type": "regex", "pattern": "a"}]},
            "eval_judges: has nothing to judge: set `eval_tasks`",
        ),
        ({"groups": "level"}, "tasks.jsonl:1: the key 'level', which tells the groups apart, is missing"),
        ({"eval_judges": [{"type": "numbers"}]}, "heldout.jsonl:1: "),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BurnishError) as error:
        trained(measured(tmp_path, **changes))
    assert said in str(error.value)
