"""The corpus stage and those that read it: fractions mean what they say, and what is left out is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from burnish import load
from burnish.console.display import Display
from burnish.corpus.token_corpus import TokenCorpus
from burnish.errors import BurnishError, DataError, RecipeError
from burnish.evaluation.perplexity import surprises
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import check, run, works
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: corpus"
    + SAME_BITS
    + """
stages:
  - type: corpus
    documents: [documents]
    window: 64
  - type: cpt
    corpus: "@corpus"
    training: {learning_rate: 5e-3, batch_size: 4, micro_batch_tokens: 256}
  - type: perplexity
    corpus: "@corpus"
    models: {before: base, after: "@cpt"}
"""
)
PAGES = {f"page{i}.md": "\n\n".join(f"SELECT {i} of part {j}" for j in range(20)) for i in range(6)}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    recipe = make_workshop(tmp_path / "workshop", RECIPE)
    documents = recipe.parent / "documents"
    documents.mkdir()
    for name, text in PAGES.items():
        (documents / name).write_text(text)
    for name in ("logo.png", "book.odt", "second.odt"):
        (documents / name).write_bytes(b"\x00")
    return recipe


def done(recipe: Path, *overrides: str) -> tuple[dict[str, Any], str]:
    """The summary, and what was shown."""
    console = Console(width=200, record=True, highlight=False, quiet=False, file=(recipe.parent / "shown").open("w"))
    summary = run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=Display(console))
    return summary, console.export_text()


def metrics(recipe: Path, stage: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((recipe.parent / "runs" / "corpus" / stage / "stage.json").read_text())
    found: dict[str, Any] = record["metrics"]
    return found


def test_files_that_are_not_read_are_named_on_the_terminal_in_a_file_and_in_the_report(recipe: Path) -> None:
    summary, shown = done(recipe)
    assert "domain: 6 documents; 3 files and folders were not read:" in shown
    assert "2 .odt file: book.odt, second.odt; convert it to Markdown or text first" in shown
    assert "1 .png file: logo.png" in shown
    folder = recipe.parent / "runs" / "corpus"
    rows = [json.loads(line) for line in (folder / "01-corpus" / "corpus" / "skipped.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == ["book.odt", "logo.png", "second.odt"]
    assert metrics(recipe, "01-corpus")["skipped"]["domain"][".png file"]["count"] == 1
    page = (folder / "report.html").read_text()
    assert "book.odt" in page
    assert "were not read" in page
    assert summary["perplexity"]["domain"]["after"] < summary["perplexity"]["domain"]["before"]


@pytest.mark.slow
def test_the_held_out_share_and_the_replay_are_told(recipe: Path) -> None:
    _, shown = done(recipe, "corpus.heldout=0.2")
    counts = metrics(recipe, "01-corpus")["counts"]["domain"]
    total = counts["train"]["tokens"] + counts["heldout"]["tokens"]
    assert counts["heldout"]["tokens"] / total == pytest.approx(0.2, abs=0.02)
    assert "held out in" in shown
    assert "no general text in the corpus, so none is replayed against forgetting (replay: 0)" in shown
    assert metrics(recipe, "02-cpt")["passes"] == {"domain": 1.0}
    assert make_plan(recipe).notes == [
        "cpt: no general text in the corpus, so none is replayed against forgetting (replay: 0); "
        "the corpus stage's `general: [stdlib]` is some that is on every machine"
    ]


def test_too_few_passes_are_refused_as_soon_as_the_corpus_is_there(recipe: Path) -> None:
    """By a dry run too, and before an earlier stage trains."""
    too_few = ["cpt.training.epochs=0.001"]
    first = "  - {type: sft, data: rows.jsonl, model: base}\n  - type: cpt\n    model: base"
    recipe.write_text(recipe.read_text().replace("  - type: cpt", first))
    (recipe.parent / "rows.jsonl").write_text('{"prompt": "1 mod 3?", "completion": "SELECT 1"}\n' * 4)
    message = r"stage cpt: epochs 0\.001 of \d+ windows of text is no window, .*: raise epochs to at least 0\.\d"
    with pytest.raises(BurnishError, match=message):
        done(recipe, *too_few)
    assert not (recipe.parent / "runs" / "corpus" / "02-sft").exists()
    with pytest.raises(BurnishError, match=message):
        check(make_plan(recipe, overrides=too_few, runs=recipe.parent / "runs"))
    assert not check(make_plan(recipe, runs=recipe.parent / "runs"))


def test_nothing_held_out_is_nothing_held_out(recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"perplexity\.corpus|holds out no text to measure on \(heldout: 0\)"):
        make_plan(recipe, overrides=["corpus.heldout=0"])
    text = recipe.read_text()
    recipe.write_text(text[: text.index("  - type: perplexity")])
    summary, shown = done(recipe, "corpus.heldout=0")
    assert metrics(recipe, "01-corpus")["counts"]["domain"]["heldout"] == {"documents": 0, "windows": 0, "tokens": 0}
    assert "none held out" in shown
    assert "the corpus holds out no text: perplexity is not measured" in shown
    assert "perplexity" not in summary


@pytest.mark.slow
def test_one_document_is_enough(recipe: Path) -> None:
    done(recipe, "corpus.documents=[documents/page1.md]")
    counts = metrics(recipe, "01-corpus")["counts"]["domain"]
    assert counts["heldout"]["tokens"] > 0


@pytest.mark.slow
def test_general_text_of_the_standard_library(recipe: Path) -> None:
    done(recipe, "corpus.general=[stdlib]", "corpus.window=256", "cpt.training.epochs=0.2")
    made = metrics(recipe, "01-corpus")["counts"]
    assert made["general"]["train"]["tokens"] > 100_000
    assert 0 < metrics(recipe, "02-cpt")["passes"]["general"] < 0.1
    assert not make_plan(recipe, overrides=["corpus.general=[stdlib]"]).notes
    with pytest.raises(RecipeError, match="got 'stdlibb'; no such file"):
        make_plan(recipe, overrides=["corpus.general=[stdlibb]"])


@pytest.mark.slow
def test_a_fraction_of_a_pass_is_a_fraction_of_its_text(recipe: Path) -> None:
    done(recipe, "cpt.training.epochs=0.5", "cpt.training.batch_size=32")
    assert metrics(recipe, "02-cpt")["passes"]["domain"] == pytest.approx(0.5, abs=0.1)
    with pytest.raises(
        DataError, match=r"epochs 0\.001 of \d+ windows of text is no window, so there would be 0 steps"
    ):
        done(recipe, "cpt.training.epochs=0.001")


def test_a_folder_without_any_document_stops_the_run_and_says_what_is_there(recipe: Path) -> None:
    for name in PAGES:
        (recipe.parent / "documents" / name).unlink()
    with pytest.raises(BurnishError, match=r"there is no document(.|\n)*2 \.odt file: book\.odt, second\.odt"):
        done(recipe)


def test_answers_before_and_after_each_training_are_kept_and_shown(recipe: Path) -> None:
    rows = (
        {"messages": [{"role": "user", "content": f"{i} mod 3?"}, {"role": "assistant", "content": f"SELECT {i % 3}"}]}
        for i in range(12)
    )
    (recipe.parent / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = recipe.read_text()
    stages = text[: text.index("  - type: perplexity")]
    recipe.write_text(stages + "  - {type: sft, data: train.jsonl, heldout: 0.02}\n")
    _, shown = done(recipe)
    assert "heldout 0.02 of 12 conversations is none: no loss is measured" in shown
    assert "12 conversations to imitate teach a form of answer, no knowledge" in shown
    assert "of continued pre-training read" in shown
    folder = recipe.parent / "runs" / "corpus"
    answers = [json.loads(line) for line in (folder / "03-sft" / "shown.jsonl").read_text().splitlines()]
    assert len(answers) == 4
    assert {answer["heldout"] for answer in answers} == {False}
    assert all(answer["expected"].startswith("SELECT ") and "mod 3?" in answer["prompt"] for answer in answers)
    continued = [json.loads(line) for line in (folder / "02-cpt" / "shown.jsonl").read_text().splitlines()]
    assert all(answer["heldout"] and answer["expected"] for answer in continued)
    words = (folder / "report.html").read_text()
    assert words.index("What this run cannot do") < words.index("What was asked and answered")
    assert words.index("What was asked and answered") < words.index("Perplexity on held-out text")


ROWS = [
    {"id": f"{source}{i}", "text": f"SELECT {i} FROM {source} " * 8, "source": source, "quality": float(i % 7)}
    for source, count in (("handbook", 12), ("wiki", 36))
    for i in range(count)
]


@pytest.fixture
def weighted(recipe: Path) -> Path:
    (recipe.parent / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    mixture = "    mixture: {weights: {handbook: 0.7, wiki: 0.3}, max_repeats: 4}\n"
    text = recipe.read_text().replace("    documents: [documents]\n", f"    documents: [rows.jsonl]\n{mixture}")
    recipe.write_text(text[: text.index("  - type: perplexity")])
    return recipe


def test_sources_have_their_weights_and_the_best_text_comes_last(weighted: Path) -> None:
    _, shown = done(weighted, "corpus.order={by: score, score_key: quality}")
    sources = metrics(weighted, "01-corpus")["sources"]
    assert [source[1] for source in sources.values()] == [0.7, 0.3]
    assert "source handbook: " in shown
    assert "70.0% of what is read" in shown
    corpus = TokenCorpus.load(weighted.parent / "runs" / "corpus" / "01-corpus" / "corpus")
    windows = corpus.train["domain"]
    _, tokenizer = load(weighted.parent / "model")
    numbers = [int(tokenizer.decode(windows[i]).split()[1]) % 7 for i in range(len(windows)) if windows[i][0] == 83]
    assert numbers == sorted(numbers)
    assert corpus.ordered


@pytest.mark.slow
def test_text_is_ordered_by_the_models_own_perplexity(weighted: Path) -> None:
    done(weighted, "corpus.order={by: perplexity, model: base}")
    corpus = TokenCorpus.load(weighted.parent / "runs" / "corpus" / "01-corpus" / "corpus")
    decoder, _ = load(weighted.parent / "model", compute_dtype="float32")
    losses = [nats / tokens for nats, tokens in surprises(decoder, corpus.sequences("domain", "train")) if tokens]
    assert losses == pytest.approx(sorted(losses), abs=1e-4)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("corpus.mixture.weights={handbook: 1}", r"got weights for handbook, but there are handbook, wiki"),
        ("corpus.mixture.temperature=2", r"temperature: got 2 beside weights"),
        ("corpus.order={by: perplexity}", r"no model whose it is: set order\.model"),
        ("corpus.order={by: length, model: base}", r"by length no model is asked: remove it"),
        ("corpus.order={by: score}", r"document handbook0 has no score.*order\.score_key"),
        ("corpus.order={by: lenght}", r"did you mean 'length'|length"),
    ],
)
def test_what_is_wrong_with_a_mixture_or_an_order(weighted: Path, override: str, expected: str) -> None:
    with pytest.raises((RecipeError, DataError), match=expected):
        done(weighted, override)


@pytest.mark.slow
def test_text_that_the_model_writes_is_planned_replayed_and_counted(recipe: Path) -> None:
    text = recipe.read_text()
    recipe.write_text(text[: text.index("  - type: perplexity")])
    override = ["cpt.replay_from=own_text", "cpt.replay=0.5"]
    _, shown = done(recipe, *override)
    assert "which are replayed" in shown
    passes = metrics(recipe, "02-cpt")["passes"]
    assert passes["domain"] == 1.0
    assert 0 < passes["general"] <= 1.2
    runs = recipe.parent / "runs"
    plan = make_plan(recipe, overrides=[*override, "cpt.training.epochs=2"], runs=runs)
    ((_, work),) = works(plan)
    domain = metrics(recipe, "01-corpus")["counts"]["domain"]["train"]["tokens"]
    assert work is not None
    assert work.decoded == pytest.approx(2 * domain, rel=0.05)
    assert work.trained == pytest.approx(4 * domain, rel=0.1)
    assert not plan.notes
