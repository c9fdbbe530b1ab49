"""A stage's key holds all that its result depends on, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.recipes.plan.plan import Plan
from burnish.recipes.plan.planned import make_plan

RECIPE = """\
name: keys
model: model
stages:
  - type: prepare
    script: prepare.py
    arguments: [--from, notes.txt]
    inputs: [notes.txt]
  - type: corpus
    documents: [docs/a.md, "@prepare/made.txt"]
"""


def plan(folder: Path, recipe: str = RECIPE) -> Plan:
    (folder / "recipe.yaml").write_text(recipe)
    return make_plan(folder / "recipe.yaml", runs=folder / "runs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"prepare.py": "", "notes.txt": "one", "docs/a.md": "two", "other/b.md": "two"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path


def edited(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("old", "new", "change", "changed"),
    [
        ("", "", edited("notes.txt", "another"), {"prepare", "corpus"}),
        ("", "", edited("docs/a.md", "another"), {"corpus"}),
        ("", "", edited("prepare.py", "pass"), {"prepare", "corpus"}),
        ("", "", edited("model/config.json", "{ }"), {"corpus"}),
        ("", "", edited("other/b.md", "another"), set()),
        ("docs/a.md", "other/b.md", None, {"corpus"}),  # the result names the documents that were left out
        # The same file written otherwise gives the same result.
        ("docs/a.md", "./docs/../docs/a.md", None, set()),
        ("inputs: [notes.txt]", "inputs: [./notes.txt]", None, set()),
        ("[docs/a.md, ", "[", None, {"corpus"}),
        ("[--from, notes.txt]", "[--from, ./notes.txt]", None, {"prepare", "corpus"}),
    ],
)
def test_what_changes_a_key(
    folder: Path, old: str, new: str, change: Callable[[Path], object] | None, changed: set[str]
) -> None:
    before = {stage.name: stage.key for stage in plan(folder).stages}
    if change is not None:
        change(folder)
    after = {stage.name: stage.key for stage in plan(folder, RECIPE.replace(old, new, 1)).stages}
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_path_among_the_arguments_that_is_not_declared_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert plan(folder).notes == []
    (note,) = plan(folder, RECIPE.replace("    inputs: [notes.txt]\n", "")).notes
    assert note.startswith("prepare: arguments[1] is the path notes.txt: name it in `inputs` too")
