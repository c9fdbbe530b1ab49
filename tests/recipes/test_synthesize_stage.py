"""The synthesize stage: rows of documents that sft learns from and evaluate asks."""

import json
from pathlib import Path

import pytest

from burnish.console.display import Display
from burnish.errors import RecipeError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: asked"
    + SAME_BITS
    + """
stages:
  - type: documents
    sources: [{paths: [handbook]}]
  - type: synthesize
    documents: ["@documents"]
  - type: sft
    data: "@synthesize"
    heldout: 0
    training: {epochs: 1, batch_size: 16, learning_rate: 1.0e-3}
  - type: evaluate
    tasks: "@synthesize/choices.jsonl"
    models: {before: base, after: "@sft"}
    judges: [{type: choice}]
    groups: task_type
"""
)


def write(folder: Path) -> None:
    folder.mkdir()
    for page in range(12):
        terms = "\n".join(f"- **Thing {page}-{i}**: what page {page} says of it, {i} times a day." for i in range(6))
        (folder / f"{page}.md").write_text(f"# Page {page}\n\n{terms}\n")


@pytest.mark.slow
def test_a_recipe_goes_from_documents_to_a_score(tmp_path: Path) -> None:
    recipe = make_workshop(tmp_path / "workshop", RECIPE)
    write(recipe.parent / "handbook")
    summary = run(recipe, runs=recipe.parent / "runs", display=Display(quiet=True))
    folder = recipe.parent / "runs" / "asked"
    metrics = json.loads((folder / "02-synthesize" / "stage.json").read_text())["metrics"]
    assert metrics["documents"] == 12
    assert metrics["train"]["teacher"] == {"none": metrics["train"]["rows"]}
    trained = json.loads((folder / "03-sft" / "stage.json").read_text())["metrics"]
    assert trained["steps"] >= metrics["train"]["rows"] // 16
    assert summary is not None


def test_a_wrong_rule_names_the_right_one(tmp_path: Path) -> None:
    text = RECIPE.replace(
        'documents: ["@documents"]\n  - type: sft',
        'documents: ["@documents"]\n    extract: {rules: [definitions]}\n  - type: sft',
    )
    recipe = make_workshop(tmp_path / "workshop", text)
    write(recipe.parent / "handbook")
    with pytest.raises(RecipeError, match="definition"):
        make_plan(recipe, runs=recipe.parent / "runs")
