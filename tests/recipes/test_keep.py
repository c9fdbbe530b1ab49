"""`keep: needed`: which models are there after a run, when they go, and when they are made again."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from burnish.console.chat import find_target
from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner import execution as runner
from burnish.recipes.runner import intermediate
from burnish.recipes.runner.clean import clean
from burnish.recipes.runner.intermediate import peak_bytes
from burnish.recipes.runner.running import preview, run
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: chain"
    + SAME_BITS
    + """stages:
  - &first
    {type: sft, name: first, data: rows.jsonl, heldout: 0, training: {batch_size: 4, checkpoint_seconds: 0}}
  - {<<: *first, name: second}
  - {<<: *first, name: third}
  - {type: compare, prompts: rows.jsonl, models: {one: "@first", three: "@third"}, reference: base, max_new_tokens: 4}
  - {type: export}
"""
)
ORDER = ["first", "second", "third", "compare", "export"]


def make(folder: Path, recipe: str = RECIPE) -> Path:
    rows = ({"prompt": f"{i} mod 3?", "completion": f"SELECT {i % 3}"} for i in range(8))
    file = make_workshop(folder, recipe)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def again(recipe: Path, *overrides: str, **options: Any) -> list[str]:
    """Run, and name the stages that were."""
    options = {"display": Display(quiet=True), **options}
    summary = run(recipe, overrides=overrides, runs=recipe.parent / "runs", **options)
    return [stage["name"] for stage in summary["stages"] if not stage["cached"]]


def run_folder(recipe: Path) -> Path:
    return recipe.parent / "runs" / "chain"


def models(recipe: Path) -> list[str]:
    """Stages whose model is on the disk, whole."""
    folders = [file.parent for file in sorted(run_folder(recipe).glob("*/model/model.safetensors"))]
    assert all((folder / "tokenizer.json").exists() for folder in folders)
    return [folder.parent.name.partition("-")[2] for folder in folders]


def hashes(recipe: Path) -> dict[str, str]:
    """Content of all weights and answers that are on the disk."""
    files = [file for kind in ("*.safetensors", "*.jsonl") for file in run_folder(recipe).glob(f"*/**/{kind}")]
    return {
        str(file.relative_to(run_folder(recipe))): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name != "events.jsonl"
    }


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = make(tmp_path_factory.mktemp("ready") / "workshop")
    assert again(recipe) == ORDER
    return recipe


@pytest.fixture
def finished(ready: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed; the recipe's file."""
    shutil.copytree(ready.parent, tmp_path / "workshop")
    return tmp_path / "workshop" / "recipe.yaml"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run leaves that keeps all."""
    recipe = make(tmp_path_factory.mktemp("everything"))
    again(recipe, "keep=all")
    assert models(recipe) == ["first", "second", "third", "export"]
    return hashes(recipe)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "left"),
    [
        ([], ["third", "export"]),
        (["third.lora.rank=2"], ["second", "third", "export"]),
        pytest.param(["second.lora.rank=2"], ["first", "third", "export"], marks=pytest.mark.slow),
        pytest.param(["third.model=@first"], ["second", "third", "export"], marks=pytest.mark.slow),
        pytest.param(["third.model=base"], ["second", "third", "export"], marks=pytest.mark.slow),
        pytest.param(["export.model=@second"], ["third", "export"], marks=pytest.mark.slow),
    ],
)
def test_what_is_left_is_what_nothing_went_on_from(tmp_path: Path, overrides: list[str], left: list[str]) -> None:
    recipe = make(tmp_path)
    again(recipe, *overrides)
    assert models(recipe) == left
    assert again(recipe, *overrides) == [], "what was removed still counts as done"
    for adapter in run_folder(recipe).glob("*/adapter/adapter_config.json"):
        base = Path(json.loads(adapter.read_text())["base_model_name_or_path"])
        assert (base / "model.safetensors").exists(), "an adapter stands on it"
    assert find_target(run_folder(recipe)).model == run_folder(recipe) / "05-export" / "model"


@pytest.mark.slow
def test_what_is_left_has_the_bits_of_a_run_that_keeps_all(finished: Path, everything: dict[str, str]) -> None:
    kept = hashes(finished)
    assert kept == {name: content for name, content in everything.items() if name in kept}
    assert set(everything) - set(kept) == {f"{name}/model/model.safetensors" for name in ("01-first", "02-second")}
    assert clean(run_folder(finished), dry_run=True) == [], "nothing is left for burnish clean"


def test_a_model_goes_when_its_last_reader_is_finished_and_a_line_says_so(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    out = io.StringIO()
    again(recipe, display=Display(Console(file=out, width=200)))
    lines = out.getvalue().splitlines()
    place = {
        key: next(i for i, line in enumerate(lines) if key in line)
        for key in ("01-first/model removed", "02-second/model removed", "[4/5] compare", "[5/5] export")
    }
    assert list(place) == ["01-first/model removed", "02-second/model removed", "[4/5] compare", "[5/5] export"]
    assert place["02-second/model removed"] < place["[4/5] compare"], "only third reads it"
    assert place["[4/5] compare"] < place["01-first/model removed"] < place["[5/5] export"], "compare reads it too"
    record = json.loads((run_folder(recipe) / "02-second" / "stage.json").read_text())
    n_bytes = sum(made["bytes"] for name, made in record["products"].items() if name.startswith("model/"))
    assert f"{n_bytes:,} bytes: no stage needs it any more" in lines[place["02-second/model removed"]]
    assert record["removed"] == ["model"]
    assert lines.count(lines[place["02-second/model removed"]]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "ran", "left"),
    [
        ("export.dtype=bfloat16", ["export"], ["third", "export"]),
        ("compare.max_new_tokens=5", ["first", "compare"], ["third", "export"]),
        ("third.training.learning_rate=1e-4", ["first", "second", "third", "compare", "export"], ["third", "export"]),
        ("second.training.learning_rate=1e-4", ["first", "second", "third", "compare", "export"], ["third", "export"]),
        ("keep=all", [], ["third", "export"]),
    ],
)
def test_a_change_makes_again_what_it_needs(finished: Path, override: str, ran: list[str], left: list[str]) -> None:
    plan = make_plan(finished, overrides=[override], runs=finished.parent / "runs")
    assert [stage.name for stage, status in preview(plan) if not status.cached] == ran
    assert again(finished, override) == ran
    assert models(finished) == left


@pytest.mark.slow
def test_the_reason_says_which_model_was_removed_and_who_needs_it(finished: Path) -> None:
    plan = make_plan(finished, overrides=["compare.max_new_tokens=5"], runs=finished.parent / "runs")
    reasons = {stage.name: status.reason for stage, status in preview(plan)}
    assert reasons["first"] == "its model was removed, and compare needs it"
    plan = make_plan(finished, runs=finished.parent / "runs")
    reasons = {stage.name: status.reason for stage, status in preview(plan, "third")}
    assert reasons["second"] == "its model was removed, and third needs it"
    assert reasons["first"] == "its model was removed, and second needs it"
    assert again(finished, start="third") == ORDER


class KilledError(BaseException):
    """What no handler of the program catches."""


def dies(*_: object, **__: object) -> None:
    raise KilledError


def dies_halfway(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    raise KilledError


@pytest.mark.parametrize("call", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("target", "name", "deed"),
    [
        # The reader is finished, nothing is removed yet.
        pytest.param(runner, "remove", dies, marks=pytest.mark.slow),
        pytest.param(intermediate, "write_object", dies, marks=pytest.mark.slow),
        # Said, and not done.
        pytest.param(shutil, "rmtree", dies, marks=pytest.mark.slow),
        (shutil, "rmtree", dies_halfway),
    ],
)
def test_a_run_killed_at_a_removal_goes_on(
    tmp_path: Path,
    everything: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    target: Any,
    name: str,
    deed: Callable[..., None],
    call: int,
) -> None:
    recipe = make(tmp_path)
    calls: list[int] = []
    original = getattr(target, name)

    def later(*arguments: Any, **options: Any) -> Any:
        folder = Path(arguments[0])
        ours = name != "rmtree" or (folder.name == "model" and folder.parent.parent.name == "chain")
        calls.extend([1] if ours else [])
        return (deed if ours and len(calls) == call else original)(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, later)
        with pytest.raises(KilledError):
            again(recipe)
    done = {"second": ["compare", "export"], "first": ["export"]}["second" if call == 1 else "first"]
    assert again(recipe) == done, "what was finished stays so"
    assert models(recipe) == ["third", "export"]
    assert not (run_folder(recipe) / "01-first" / "model").exists()
    assert not (run_folder(recipe) / "02-second" / "model").exists()
    kept = hashes(recipe)
    assert kept == {path: content for path, content in everything.items() if path in kept}


@pytest.mark.slow
def test_every_reader_is_finished_before_a_model_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = make(tmp_path)
    readers = {"first": ["02-second", "04-compare"], "second": ["03-third"]}
    seen: list[str] = []
    original = runner.remove

    def watched(folder: Path, *arguments: Any) -> list[Path]:
        seen.append(folder.parent.name.partition("-")[2])
        assert all((run_folder(recipe) / reader / "stage.json").exists() for reader in readers[seen[-1]])
        return original(folder, *arguments)

    monkeypatch.setattr(runner, "remove", watched)
    again(recipe)
    assert seen == ["second", "first"]


@pytest.mark.slow
def test_a_model_that_somebody_has_worked_on_stays(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    again(recipe, "keep=all")
    note = run_folder(recipe) / "01-first" / "model" / "notes.txt"
    note.write_text("mine")
    config = run_folder(recipe) / "02-second" / "model" / "config.json"
    own = config.read_text()
    config.write_text(own + "\n")
    assert [one.touched for one in clean(run_folder(recipe))] == [note, config], "nor does burnish clean take them"
    assert models(recipe) == ["first", "second", "third", "export"]
    config.write_text(own)
    out = io.StringIO()
    assert again(recipe, display=Display(Console(file=out, width=200))) == []
    assert out.getvalue().count("01-first/model stays, since notes.txt is not as stage first made it") == 1
    assert models(recipe) == ["first", "third", "export"]
    assert note.read_text() == "mine"


def test_the_disk_that_a_run_needs_is_its_peak(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    model, training, n = 4, 7 * 4, 1000
    expected = {"needed": 2 * model + training, "all": 2 * model + training}
    for keep, most in expected.items():
        plan = make_plan(recipe, overrides=[f"keep={keep}"], runs=tmp_path / "runs")
        assert peak_bytes(plan, set(ORDER), n) == most * n, keep
        assert peak_bytes(plan, {"export"}, n) == model * n
        assert peak_bytes(plan, set(), n) == 0
    longer = RECIPE.replace("  - {type: compare", '  - {<<: *first, name: fourth, model: "@third"}\n  - {type: compare')
    recipe.write_text(longer.replace('one: "@first", ', ""))
    for keep, held in (("needed", model), ("all", 3 * model)):
        plan = make_plan(recipe, overrides=[f"keep={keep}"], runs=tmp_path / "runs")
        assert peak_bytes(plan, {stage.name for stage in plan.stages}, n) == (held + training) * n, keep


def test_snapshots_are_counted_and_stay(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    plan = make_plan(recipe, overrides=["first.training.snapshot_steps=3"], runs=tmp_path / "runs")
    model, training, n = 4, 7 * 4, 1000
    assert peak_bytes(plan, {"first"}, n, {"first": 8}) == (training + 2 * model) * n
    both = {"first", "second"}
    without, found = peak_bytes(plan, both, n), peak_bytes(plan, both, n, {"first": 8, "second": 8})
    assert found - without == 2 * model * n, "those of the first alone, while the second is made"


def test_who_goes_on_from_a_snapshot_leaves_the_model_that_came_of_it(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    keys = ["first.training.snapshot_steps=1", "second.model=@first/snapshots/1"]
    plan = make_plan(recipe, overrides=keys, runs=tmp_path / "runs")
    assert "first" not in intermediate.planned(plan)
    assert "first" in intermediate.planned(make_plan(recipe, overrides=keys[:1], runs=tmp_path / "runs"))


def test_a_removed_model_that_another_recipe_names_says_how_to_have_it(finished: Path) -> None:
    other = finished.parent / "other.yaml"
    other.write_text("name: other\nmodel: runs/chain/01-first/model\nstages: [{type: export}]\n")
    with pytest.raises(BurnishError, match=r"stage first of that run no longer keeps it.*`keep: all`"):
        make_plan(other, runs=finished.parent / "runs")
    with pytest.raises(BurnishError, match=r"stage first of that run no longer keeps it.*`keep: all`"):
        find_target(run_folder(finished) / "01-first" / "model")


@pytest.mark.parametrize("written", ["some", "none", "true", "[needed]"])
def test_other_values_are_refused(tmp_path: Path, written: str) -> None:
    recipe = make(tmp_path, RECIPE.replace("stages:", f"keep: {written}\nstages:", 1))
    with pytest.raises(BurnishError, match=r"keep: got .*needed"):
        make_plan(recipe, runs=tmp_path / "runs")
