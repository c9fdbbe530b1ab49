"""The documents stage: prepared documents become a corpus."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from burnish.console.display import Display
from burnish.errors import RecipeError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.recipes.runner.trust import requests
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: docs"
    + SAME_BITS
    + """
stages:
  - type: documents
    sources:
      - {name: handbook, paths: [handbook], licence: MIT}
      - {name: notes, paths: [notes.jsonl]}
    steps:
      - type: normalize
      - type: exact_duplicates
      - {type: min_characters, characters: 20}
  - type: corpus
    documents: ["@documents"]
    window: 64
    heldout: 0
"""
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    recipe = make_workshop(tmp_path / "workshop", RECIPE)
    handbook = recipe.parent / "handbook"
    handbook.mkdir()
    for number in range(4):
        (handbook / f"{number}.md").write_text(f"Chapter {number} has something to say.\r\n" * 3)
    (handbook / "page.html").write_text(
        "<html><body><p>The page says this, and it is long enough for all that follows.</p></body></html>"
    )
    rows = [
        {"text": "Chapter 0 has something to say.\n" * 3},
        {"text": "Short."},
        {"text": "A note that is long enough for whatever follows from it."},
    ]
    (recipe.parent / "notes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return recipe


def go(recipe: Path, *overrides: str) -> dict[str, Any]:
    run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=Display(quiet=True))
    record: dict[str, Any] = json.loads((recipe.parent / "runs" / "docs" / "01-documents" / "stage.json").read_text())
    metrics: dict[str, Any] = record["metrics"]
    return metrics


def test_prepared_documents_are_the_corpus(recipe: Path) -> None:
    metrics = go(recipe)
    folder = recipe.parent / "runs" / "docs"
    table = pl.read_parquet(folder / "01-documents" / "documents" / "*.parquet")
    assert sorted(table["source"]) == ["handbook"] * 5 + ["notes"]
    assert metrics["documents"] == 6
    page = (folder / "01-documents" / "data_report.html").read_text()
    assert "docs documents" in page
    assert "Tokens are those of" in page
    assert [step["removed"] for step in metrics["steps"]] == [{}, {}, {"exact duplicate": 1}, {"too short": 1}]
    corpus = json.loads((folder / "02-corpus" / "stage.json").read_text())["metrics"]
    assert corpus["counts"]["domain"]["train"]["documents"] == 6
    (recipe.parent / "handbook" / "4.md").write_text("A fourth chapter, which is new and long enough to stay.")
    assert go(recipe)["documents"] == 7


def test_whom_pages_are_asked_from_is_said_before(recipe: Path) -> None:
    site = "{start: 'https://docs.example.org/manual/', depth: 1}"
    sources = f"documents.sources=[{{name: manual, site: {site}}}]"
    plan = make_plan(recipe, overrides=[sources], runs=recipe.parent / "runs")
    assert [one.line for one in requests(plan)] == ["sends   requests for pages to docs.example.org (stage documents)"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[{type: normalise}]", r"steps\[0\]: got 'normalise'; did you mean 'normalize'\?"),
        ("[{type: min_characters, character: 3}]", r"steps\[0\]\.character: unknown key"),
        ("[{type: min_characters, characters: 0}]", r"steps\[0\]\.characters: got 0; .*greater than or equal to 1"),
        ("[{characters: 3}]", r"steps\[0\]: missing key 'type'"),
    ],
)
def test_wrong_steps_are_named_before_anything_runs(recipe: Path, steps: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_plan(recipe, overrides=[f"documents.steps={steps}"], runs=recipe.parent / "runs")


def test_documents_are_found_wherever_the_command_is_called(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in a recipe start at its file, those of a run where the command was called."""
    monkeypatch.chdir(recipe.parent.parent)
    summary = run("workshop/recipe.yaml", runs="runs", display=Display(quiet=True))
    record = json.loads(Path("runs/docs/01-documents/stage.json").read_text())
    assert record["metrics"]["documents"] > 4
    assert summary["name"] == "docs"
