"""The export stage says what each number format costs in perplexity, read back from what it wrote."""

import json
from pathlib import Path

import pytest

from burnish.console.display import Display
from burnish.errors import RecipeError
from burnish.recipes.runner.running import run
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: numbers"
    + SAME_BITS
    + """
stages:
  - type: prepare
    script: prepare.py
  - type: corpus
    documents: ["@prepare/documents.jsonl"]
    window: 64
    heldout: 0.3
  - type: export
    model: base
    gguf: [F32, Q4_0]
    corpus: "@corpus"
"""
)


def test_the_perplexity_of_each_file_stands_beside_its_size(tmp_path: Path) -> None:
    summary = run(make_workshop(tmp_path, RECIPE), runs=tmp_path / "runs", display=Display(quiet=True))
    exported = summary["exported"]
    assert list(exported) == ["model", "numbers-F32.gguf", "numbers-Q4_0.gguf"]
    plain, whole, few = (one["perplexity"]["domain"] for one in exported.values())
    assert whole == pytest.approx(plain, rel=1e-6)
    assert few != plain
    assert exported["numbers-Q4_0.gguf"]["bytes"] < exported["numbers-F32.gguf"]["bytes"]
    stage = json.loads((tmp_path / "runs" / "numbers" / "03-export" / "stage.json").read_text())
    assert stage["metrics"]["perplexity"]["model"] == exported["model"]["perplexity"]


def test_a_corpus_that_holds_nothing_out_is_refused_by_line(tmp_path: Path) -> None:
    file = make_workshop(tmp_path, RECIPE.replace("heldout: 0.3", "heldout: 0"))
    with pytest.raises(RecipeError, match="corpus: got '@corpus', which holds out no text"):
        run(file, runs=tmp_path / "runs")
