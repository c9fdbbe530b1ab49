"""A model is given tokens for its domain's words, and trained to use them."""

import json
from pathlib import Path

import pytest

import burnish
from burnish.errors import DataError
from burnish.recipes.runner.running import run
from burnish.text.tokenizer_training import train_tokenizer
from tiny_models import tiny_decoder
from workshop import SAME_BITS

RECIPE = (
    "name: extended"
    + SAME_BITS
    + """keep: all
stages:
  - type: extend_tokenizer
    documents: [documents]
    n_tokens: 20
  - type: corpus
    documents: [documents]
    tokenizer: "@extend_tokenizer"
    window: 64
  - type: cpt
    corpus: "@corpus"
    training: {batch_size: 4}
"""
)


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)])
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of a model whose embedding is, or is not, its output layer too."""
    tokenizer = train_tokenizer(["some words of no domain " * 9], vocab_size=280)
    decoder = tiny_decoder(vocab_size=tokenizer.vocab_size, tie_embeddings=request.param)
    burnish.save(decoder, tokenizer, tmp_path / "model")
    (tmp_path / "documents").mkdir()
    for number in range(40):
        text = f"Olivine and pyroxene of sample {number}, then pyroxene and feldspar. " * 3
        (tmp_path / "documents" / f"{number}.md").write_text(text)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def test_fewer_tokens_are_read_and_the_model_is_trained_on_them(recipe: Path) -> None:
    summary = run(recipe, runs=recipe.parent / "runs")
    folder = recipe.parent / "runs" / "extended"
    record = json.loads((folder / "01-extend_tokenizer" / "stage.json").read_text())["metrics"]
    assert record["new_tokens"] == 20
    assert record["measured_apart"]
    assert record["tokens"]["after"] < 0.7 * record["tokens"]["before"]
    assert summary["new_tokens"] == 20
    decoder, tokenizer = burnish.load(folder / "03-cpt" / "model", compute_dtype="float32")
    assert decoder.config.vocab_size == tokenizer.vocab_size == record["vocab_size"]["after"]
    base, extended = (
        burnish.load(path, compute_dtype="float32")[0].state_dict()
        for path in (recipe.parent / "model", folder / "01-extend_tokenizer" / "model")
    )
    first = record["vocab_size"]["before"]
    for name in ("embedding.weight", *(["head.weight"] if "head.weight" in base else [])):
        assert extended[name][:first].equal(base[name][:first])
        assert extended[name][first:].abs().sum(1).min() > 0
    assert summary["perplexity"]["domain"]["after"] < summary["perplexity"]["domain"]["before"]


def test_too_few_words_say_what_to_do(recipe: Path) -> None:
    with pytest.raises(DataError, match=r"no pair of tokens 9000 times.*lower min_count"):
        run(recipe, overrides=["extend_tokenizer.min_count=9000"], runs=recipe.parent / "runs")
