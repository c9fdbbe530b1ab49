"""What a training keeps on the way is a model like any other: stages go on from `@STAGE/snapshots/STEP`."""

import json
from pathlib import Path

import pytest

from burnish.checkpoints.facts import count_parameters
from burnish.console.display import Display
from burnish.errors import RecipeError
from burnish.evaluation import rates
from burnish.evaluation.rates import Rates
from burnish.recipes.plan.dry_run import estimated
from burnish.recipes.plan.estimate import estimate
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.plan.shapes import main_shape
from burnish.recipes.runner.running import run, works
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: snapshots"
    + SAME_BITS
    + """stages:
  - {type: sft, data: rows.jsonl, heldout: 0, training: {batch_size: 2, snapshot_steps: 2, learning_rate: 1e-3}}
  - {type: sft, name: again, model: "@sft/snapshots/2", data: rows.jsonl, heldout: 0.3,
      training: {batch_size: 8, eval_steps: 1, keep_best: true}}
  - {type: export, model: "@sft/snapshots/2"}
"""
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = make_workshop(tmp_path, RECIPE)
    rows = ({"prompt": f"{i} mod 3?", "completion": f"SELECT {i % 3}"} for i in range(8))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_stages_go_on_from_a_snapshot(recipe: Path) -> None:
    runs = recipe.parent / "runs"
    run(recipe, runs=runs, display=Display(quiet=True))
    sft, again, export = (runs / "snapshots" / name for name in ("01-sft", "02-again", "03-export"))

    def weights(folder: Path) -> bytes:
        return (folder / "model.safetensors").read_bytes()

    assert sorted(folder.name for folder in (sft / "snapshots").iterdir()) == ["2", "4"]
    assert weights(export / "model") == weights(sft / "snapshots" / "2")
    assert weights(sft / "snapshots" / "2") != weights(sft / "snapshots" / "4") == weights(sft / "model")
    (model,) = (item for item in json.loads((again / "stage.json").read_text())["inputs"] if item["field"] == "model")
    assert (model["written"], model["producer"]) == ("@sft/snapshots/2", "sft")
    assert not (again / "best.safetensors").exists(), "what only an unfinished training needs goes"
    assert "snapshots/2/model.safetensors" in json.loads((sft / "stage.json").read_text())["products"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("again.model=@sft/snapshots/3", r"it keeps snapshots of steps 2, 4, \.\.\.: expected one of these"),
        ("sft.training.snapshot_steps=null", r"it keeps no snapshots: set its training\.snapshot_steps"),
    ],
)
def test_a_snapshot_that_will_not_be_there_is_refused_before_anything_trains(
    override: str, message: str, recipe: Path
) -> None:
    with pytest.raises(RecipeError, match=r"@sft/snapshots/\d', which stage 'sft' will not have; " + message):
        make_plan(recipe, overrides=[override], runs=recipe.parent / "runs")


def test_the_plan_counts_them(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(recipe.parent / "cache"))
    monkeypatch.setattr(rates, "_measure", lambda *_: Rates(*[1e-6] * 9))
    plan = make_plan(recipe, runs=recipe.parent / "runs")
    n = count_parameters(main_shape(plan))
    sft, again, _ = estimate(plan, works(plan))
    assert (sft.disk, again.disk) == (n * (7 * 4 + 2 * 4), n * (7 * 4 + 2 * 4)), "two snapshots, or the best twice"
    assert estimated(plan)["total"]["disk_gib"] == 0.0
