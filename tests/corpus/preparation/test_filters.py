"""Filters by lists of words, by a classifier that learns from examples, and by what surprises a model."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from burnish.corpus.preparation import classifier
from burnish.corpus.preparation.classifier import TextClassifier, held_out_accuracy, train
from burnish.corpus.preparation.steps import perplexity
from burnish.corpus.preparation.steps.classify import Classifier
from burnish.corpus.preparation.steps.content import ContentFilter
from burnish.corpus.preparation.steps.perplexity import Perplexity, perplexities
from burnish.corpus.preparation.table import SCHEMA, Outcome
from burnish.errors import DataError
from tiny_models import tiny_decoder

LONG = "and then something else is said about the matter in a few words " * 3


def batch(*texts: str) -> pl.DataFrame:
    rows = [dict.fromkeys(SCHEMA, f"{number:04d}") | {"text": text} for number, text in enumerate(texts)]
    return pl.DataFrame(rows, schema=SCHEMA)


def removed(outcome: Outcome) -> dict[str, str]:
    assert outcome.removed is not None
    return dict(outcome.removed.select("id", "reason").iter_rows())


def test_pages_about_a_matter_go_and_those_that_mention_it_stay() -> None:
    step = ContentFilter()
    outcome = step(
        batch(
            "Free porn, xxx videos, hentai and milfs.",
            f"The law forbids minors to see porn. {LONG}",
            f"porn porn porn porn. {LONG}",
            "Buy cocaine, fake passports and counterfeit money here, no prescription needed.",
            "Exports and Essex, xxxl, expornographer, hentaigana.",
        )
    )
    assert removed(outcome) == {"0000": "pornographic", "0003": "illegal"}


def test_lists_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("# projects\nProject X-7\nblue sky\n作戦\n", encoding="utf-8")
    step = ContentFilter(files=["secret.txt"], min_different=1).located(tmp_path)
    outcome = step(
        batch("About project  x-7.", "about project x-77.", f"a Blue sky. {LONG * 9}", "この作戦は", "nothing")
    )
    assert removed(outcome) == {"0000": "secret", "0003": "secret"}
    with pytest.raises(DataError, match="no list is called 'hateful'; there are secret"):
        ContentFilter(files=["secret.txt"], categories=["hateful"]).located(tmp_path)(batch("a"))
    (tmp_path / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(DataError, match="no word in it"):
        ContentFilter(files=["empty.txt"]).located(tmp_path)(batch("a"))


def examples(kind: str, n: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    own = {"good": "theorem proof lemma follows define", "bad": "click buy cheap offer subscribe"}[kind].split()
    both = ["the", "of", "a", "to", "and", "we", "it", "now", "this", "that"]
    return [" ".join(generator.choice([*own, *both], 30)) for _ in range(n)]


@pytest.mark.slow
def test_a_classifier_learns_from_examples_and_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    model = train(examples("good", 30, 0), examples("bad", 60, 1))
    assert model.scores(examples("good", 20, 2)).min() > 0.5 > model.scores(examples("bad", 20, 3)).max()
    model.save(tmp_path / "quality.safetensors")
    texts = examples("good", 5, 4)
    assert TextClassifier.load(tmp_path / "quality.safetensors").scores(texts).tolist() == model.scores(texts).tolist()
    again = train(examples("good", 30, 0), examples("bad", 60, 1))
    assert np.array_equal(again.weights, model.weights)


@pytest.mark.slow
def test_accuracy_is_that_of_unseen_examples() -> None:
    pytest.importorskip("sklearn")
    good, bad = examples("good", 20, 0), examples("bad", 20, 1)
    assert held_out_accuracy(good, bad) == 1.0
    same = examples("good", 40, 2)
    assert held_out_accuracy(same[:20], same[20:]) == pytest.approx(0.5, abs=0.3)


@pytest.mark.slow
def test_the_step_removes_low_scores(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    for kind in ("good", "bad"):
        (tmp_path / f"{kind}.md").write_text("x", encoding="utf-8")
        rows = pl.DataFrame({"text": examples(kind, 20, 5)})
        rows.write_ndjson(tmp_path / f"{kind}.jsonl")
    step = Classifier(good=["good.jsonl"], bad=["bad.jsonl"], reason="advertisement").located(tmp_path)
    outcome = step(batch(*examples("good", 2, 6), *examples("bad", 2, 7)))
    assert removed(outcome) == {"0002": "advertisement", "0003": "advertisement"}
    assert outcome.kept["quality"].min() > 0.5  # type: ignore[operator]
    with pytest.raises(DataError, match="two examples of each kind"):
        train(["one"], ["other", "more"])


@pytest.mark.parametrize("wrong", [{}, {"good": ["a"]}, {"model": "m", "good": ["a"], "bad": ["b"]}])
def test_a_classifier_has_examples_or_a_model(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="give `good` and `bad`"):
        Classifier.model_validate(wrong)


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(3, dtype=np.float32)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello", encoding="utf-8")
    for name in ("other", "text", "missing"):
        with pytest.raises(DataError, match=f"{name}.safetensors: .*text classifier"):
            TextClassifier.load(tmp_path / f"{name}.safetensors")
    assert classifier.N_FEATURES == 1 << 18


def test_perplexities_are_those_of_the_sequences_alone() -> None:
    decoder = tiny_decoder().eval()
    sequences = [[5, 6, 7, 8], [9], [], [1, 2, 3]]
    found = perplexities(decoder, sequences)
    assert found[1] is None
    assert found[2] is None
    for number in (0, 3):
        tokens = torch.tensor(sequences[number])
        from burnish.forest import Forest

        forest = Forest.from_segments([(sequences[number], -1)])
        logps = decoder.logps(forest, torch.arange(1, len(tokens)))
        assert found[number] == pytest.approx(math.exp(-logps.double().mean().item()), rel=1e-4)


def test_the_most_and_least_surprising_go(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        def encode(self, text: str) -> list[int]:
            return list(text.encode())

    monkeypatch.setattr(perplexity, "_model", lambda path: (None, Plain()))
    monkeypatch.setattr(perplexity, "perplexities", lambda model, sequences: [float(len(one)) for one in sequences])
    texts = ["x" * n for n in range(2, 12)]
    step = Perplexity(model="model.gguf", drop_highest=0.2, drop_lowest=0.1, min_perplexity=4)
    signed = step.sign(batch(*texts)).with_columns(shard=pl.lit(0, pl.UInt32), row=pl.int_range(10, dtype=pl.UInt32))
    decided = step.decide(signed.lazy()).sort("row")
    assert decided["row"].to_list() == [0, 1, 9]
    assert decided["reason"].to_list() == ["not surprising", "not surprising", "too surprising"]
    with pytest.raises(ValidationError, match="together they must be below 1"):
        Perplexity(model="m", drop_highest=0.6, drop_lowest=0.4)
