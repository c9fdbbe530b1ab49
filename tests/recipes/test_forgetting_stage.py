"""One table of what every training did to general text and tasks."""

import json
from pathlib import Path

import pytest

from burnish.errors import DataError, RecipeError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from wordnet_files import write_wordnet
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: forgets"
    + SAME_BITS
    + """
stages:
  - type: corpus
    documents: [documents]
    general: [general]
    window: 64
  - type: cpt
    corpus: "@corpus"
    training: {learning_rate: 2e-2, batch_size: 4, micro_batch_tokens: 512, epochs: 2}
  - type: sft
    data: train.jsonl
    training: {batch_size: 4}
  - type: forgetting
    corpus: "@corpus"
    wordnet: wordnet
    definitions: 6
    hypernyms: 6
    tasks:
      - name: sums
        tasks: sums.jsonl
        judges: [{type: exact}]
        max_new_tokens: 4
"""
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    recipe = make_workshop(tmp_path / "workshop", RECIPE)
    write_wordnet(recipe.parent / "wordnet")
    for name, word in (("documents", "SELECT"), ("general", "prose")):
        (recipe.parent / name).mkdir()
        for number in range(12):
            text = " ".join(f"{word} {number + place}" for place in range(40))
            (recipe.parent / name / f"{number}.md").write_text(text)
    rows = {"train": [{"prompt": f"{i}?", "completion": f"{i % 3}"} for i in range(12)]}
    rows["sums"] = [{"prompt": f"{i} and {i}?", "answer": str(2 * i)} for i in range(4)]
    for name, of_file in rows.items():
        (recipe.parent / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_file))
    return recipe


def test_every_model_is_measured_and_only_changes_beyond_their_interval_are_called_so(recipe: Path) -> None:
    summary = run(recipe, runs=recipe.parent / "runs")
    found = summary["forgetting"]
    assert found["models"] == ["base", "cpt", "sft"]
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["perplexity of domain text", "perplexity of general text", "definitions", "hypernyms", "sums"]
    assert [row["count"] for row in rows.values()][2:] == [6, 6, 4]
    for row in rows.values():
        assert list(row["values"]) == found["models"]
        assert list(row["changes"]) == ["base cpt", "cpt sft", "base sft"]
    page = (recipe.parent / "runs" / "forgets" / "report.html").read_text()
    assert '<h2 id="forgetting">Forgetting</h2>' in page
    assert '<span class="verdict good">' in page  # the perplexity of the domain, which was trained on
    assert "in all" in page


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("forgetting.wordnet=documents", r"no index\.noun and data\.noun in .*documents.*wordnet: null"),
        ("forgetting.models={base: base}", "a single model has forgotten nothing"),
        ("corpus.heldout=0", "holds out no text to measure on"),
        ("forgetting.tasks=[{name: definitions, tasks: sums.jsonl, judges: [{type: exact}]}]", "name of other tasks"),
    ],
)
def test_what_is_wrong_is_said_before_anything_trains(recipe: Path, override: str, expected: str) -> None:
    with pytest.raises((RecipeError, DataError), match=expected):
        run(recipe, overrides=[override], runs=recipe.parent / "runs")
    assert not list((recipe.parent / "runs").glob("*/02-cpt/model"))


def test_models_are_those_of_the_recipe_in_order(recipe: Path) -> None:
    text = recipe.read_text().replace("  - type: sft\n    data: train.jsonl\n    training: {batch_size: 4}\n", "")
    recipe.write_text(text)
    (stage,) = [stage for stage in make_plan(recipe).stages if stage.type == "forgetting"]
    assert stage.config.models == {"base": "base", "cpt": "@cpt"}  # type: ignore[union-attr]
