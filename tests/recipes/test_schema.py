"""The schema itself: documented, unambiguous, strict where it matters."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from burnish.errors import BurnishError
from burnish.recipes.language.places import Source
from burnish.recipes.language.validation import validate
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.schema.recipe import Recipe
from burnish.recipes.schema.stage import StageConfig, references
from burnish.recipes.stages.evaluate import EvaluateStage
from burnish.recipes.stages.sft import SftStage
from burnish.runs.hashes import FileHashes


def all_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that a value of this type may hold, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from all_models(field.annotation)
    for argument in get_args(annotation):
        yield from all_models(argument)


MODELS = sorted(set(all_models(Recipe)), key=lambda model: model.__name__)


def test_the_walk_finds_the_stages() -> None:
    assert {"Recipe", "SftStage", "TrainingConfig", "SqlJudge", "ReportedScore"} <= {m.__name__ for m in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_described_and_unknown_ones_are_refused(model: type[BaseModel]) -> None:
    assert model.__doc__
    assert model.model_config["extra"] == "forbid"
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name} has no description"


@pytest.mark.parametrize("model", [model for model in MODELS if issubclass(model, StageConfig)])
def test_no_key_is_called_like_its_stage(model: type[StageConfig]) -> None:
    """Pydantic puts a stage's type into the paths of its errors, where it must not be taken for a key."""
    assert model.type_name() not in model.model_fields


def recipe_of(**changes: Any) -> Recipe:
    data = {"name": "x", "model": "m", "stages": [{"type": "sft", "data": "d"}], **changes}
    return validate(Recipe, Source("recipe.yaml", data))


def test_a_whole_number_is_a_number_and_a_list_a_tuple() -> None:
    stage = recipe_of(
        stages=[{"type": "sft", "data": "d", "training": {"learning_rate": 1, "betas": [0, 0.5]}}]
    ).stages[0]
    assert isinstance(stage, SftStage)
    assert stage.training.learning_rate == 1.0
    assert stage.training.betas == (0.0, 0.5)


def test_references_are_found_wherever_they_stand() -> None:
    stage = EvaluateStage.model_validate(
        {
            "type": "evaluate",
            "tasks": "t.jsonl",
            "judges": [{"type": "sql", "database": "@prepare/x.duckdb"}],
            "models": {"base": "base", "final": "@dpo"},
        }
    )
    found = [(found.path, found.written, found.marker.kind) for found in references(stage)]
    assert found == [
        (("tasks",), "t.jsonl", "file"),
        (("judges", 0, "database"), "@prepare/x.duckdb", "file"),
        (("models", "base"), "base", "model"),
        (("models", "final"), "@dpo", "model"),
    ]


def test_a_model_left_out_is_the_latest_trained_one(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text("model")
    (tmp_path / "d.jsonl").write_text("{}")
    (tmp_path / "recipe.yaml").write_text(
        "name: x\nmodel: m.gguf\nstages:\n"
        "- {type: sft, data: d.jsonl}\n"
        "- {type: export, name: early}\n"
        "- {type: sft, name: more, data: d.jsonl}\n"
        "- {type: sft, name: apart, data: d.jsonl, model: base}\n"
        "- {type: export}\n"
    )
    plan = make_plan(tmp_path / "recipe.yaml", runs=tmp_path / "runs")
    assert [stage.config.model for stage in plan.stages] == ["base", "@sft", "@sft", "base", "@apart"]  # type: ignore[union-attr]
    assert [stage.name for stage in plan.ancestors(plan.stages[2])] == ["sft"]
    assert [stage.name for stage in plan.ancestors(plan.stages[4])] == ["apart"]


def test_keys_do_not_depend_on_where_the_recipe_lies(tmp_path: Path) -> None:
    keys = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "m.gguf").write_text("model")
        (folder / "d.jsonl").write_text("{}")
        (folder / "recipe.yaml").write_text("name: x\nmodel: m.gguf\nstages: [{type: sft, data: d.jsonl}]\n")
        keys.append([stage.key for stage in make_plan(folder / "recipe.yaml", runs=folder / "runs").stages])
    assert keys[0] == keys[1]


def test_a_changed_file_is_noticed_although_its_size_stays(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("one")
    hashes = FileHashes(tmp_path / "hashes.json")
    first = hashes.of(file)
    hashes.save()
    file.write_text("two")
    assert FileHashes(tmp_path / "hashes.json").of(file) != first
    (tmp_path / "hashes.json").write_text("[broken")
    assert FileHashes(tmp_path / "hashes.json").of(file) != first


def test_a_folder_in_which_others_are_at_work_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs"
    for name in ("kept/a.md", "gone/b.md", "locked/c.md"):
        (docs / name).parent.mkdir(parents=True)
        (docs / name).write_text(name)
    scan, failing = os.scandir, dict[str, type[OSError]]()

    def scandir(path: Any) -> Any:
        if (error := failing.get(Path(path).name)) is not None:
            raise error(errno.EACCES, "no", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    whole = FileHashes(tmp_path / "none").of(docs)
    failing["gone"] = FileNotFoundError
    without = FileHashes(tmp_path / "none").of(docs)
    failing["locked"] = PermissionError
    locked = FileHashes(tmp_path / "none").of(docs)
    assert len({whole, without, locked}) == 3
    monkeypatch.undo()
    shutil.rmtree(docs / "gone")
    assert FileHashes(tmp_path / "none").of(docs) == without


@pytest.mark.parametrize("betas", ["[1, 0.95]", "[0.9, 1.0]", "[-0.1, 0.9]", "[0.9, 2]"])
def test_rates_with_which_a_moment_never_moves_are_refused(tmp_path: Path, betas: str) -> None:
    for name in ("m.gguf", "d.jsonl"):
        (tmp_path / name).write_text("")
    (tmp_path / "recipe.yaml").write_text(
        f"name: x\nmodel: m.gguf\nstages: [{{type: sft, data: d.jsonl, training: {{betas: {betas}}}}}]\n"
    )
    with pytest.raises(BurnishError, match=r"recipe\.yaml:3: stages\[0\]\.training\.betas\[[01]\]: got"):
        make_plan(tmp_path / "recipe.yaml", runs=tmp_path / "runs")
