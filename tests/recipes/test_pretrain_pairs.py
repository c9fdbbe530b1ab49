"""From pairs of texts alone to an encoder-decoder: a tokenizer trained on them, a new architecture, and its record."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.checkpoints.facts import count_parameters
from burnish.console.chat import find_target
from burnish.errors import BurnishError, CheckpointError, RecipeError
from burnish.methods import seq2seq
from burnish.recipes.plan.dry_run import estimated
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.plan.shapes import main_shape, shapes
from burnish.recipes.runner.running import run, works
from burnish.recipes.schema import text_pairs
from burnish.training.events import read_events
from workshop import make_workshop

RECIPE = """\
name: numbers
seed: 3
device: cpu
compute_dtype: float32
threads: 1
stages:
  - type: pretrain
    pairs: pairs.jsonl
    columns: {source: question}
    tokenizer: {vocab_size: 270}
    max_source: 12
    max_target: 8
    heldout: 0.2
    architecture: {preset: transformer, d_model: 16, n_layers: 1, n_heads: 4, encoder_layers: 2}
    training: {batch_size: 8, epochs: 2, micro_batch_tokens: 128, eval_steps: 4, snapshot_steps: 6}
"""
HEADS = {"mha": (4, 4), "gqa": (2, 2), "mqa": (1, 1), "mixed": (4, 1)}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = [{"question": f"{i}+{j}", "target": f"{i + j}"} for i in range(6) for j in range(6)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def planned(recipe: Path, *overrides: str) -> Any:
    return make_plan(recipe, overrides=overrides, runs=recipe.parent / "runs")


def test_the_stage_leaves_a_model_that_loads_and_what_it_writes(recipe: Path) -> None:
    summary = run(recipe, runs=recipe.parent / "runs")
    folder = recipe.parent / "runs" / "numbers" / "01-pretrain"
    model, tokenizer = burnish.load_encoder_decoder(folder / "model", compute_dtype="float32", device="cpu")
    assert (model.config.encoder.n_layers, model.config.decoder.n_layers) == (2, 1)
    assert model.config.prefix == [tokenizer.eos_id]
    assert 260 <= tokenizer.vocab_size == model.config.decoder.vocab_size <= 270, "so short a text has few pairs"
    measured = json.loads((folder / "stage.json").read_text())["metrics"]
    assert (measured["pairs"], measured["dropped"], measured["steps"]) == (29, 0, 8)
    assert measured["heldout_loss"]["after"] < measured["heldout_loss"]["before"]
    assert summary["n_parameters"] == measured["parameters"] == sum(p.numel() for p in model.parameters())
    assert summary["heldout"]["pretrain"]["loss"] == measured["heldout_loss"]
    written = [json.loads(line) for line in (folder / "written.jsonl").read_text().splitlines()]
    assert len(written) == 7
    assert sum(row["exact"] for row in written) / 7 == measured["heldout_exact"]
    snapshot, _ = burnish.load_encoder_decoder(folder / "snapshots" / "6", compute_dtype="float32", device="cpu")
    assert not torch.equal(snapshot.decoder.embedding.weight, model.decoder.embedding.weight)
    assert all(stage["cached"] for stage in run(recipe, runs=recipe.parent / "runs")["stages"])
    with pytest.raises(CheckpointError, match=r"an encoder-decoder: a decoder is needed here"):
        burnish.load(find_target(recipe.parent / "runs" / "numbers").model)


@pytest.mark.parametrize("heads", HEADS)
def test_both_attentions_have_the_heads_that_are_asked_for(
    heads: str, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, across = HEADS[heads]
    plan = planned(recipe, f"pretrain.architecture.n_kv_heads={own}", f"pretrain.architecture.cross_kv_heads={across}")
    shape = shapes(plan)["pretrain"]
    assert main_shape(plan) == shape
    assert (shape.encoder.n_kv_heads, shape.decoder.n_kv_heads, shape.n_cross_kv_heads) == (own, own, across)
    assert (shape.encoder.max_positions, shape.decoder.vocab_size) == (12, 270)
    monkeypatch.setenv("XDG_CACHE_HOME", str(recipe.parent / "cache"))
    found = estimated(plan)
    assert found["stages"][0]["seconds"] is not None
    assert found["total"]["unknown"] == []
    assert found["stages"][0]["disk_gib"] == pytest.approx(7 * 4 * count_parameters(shape) / 2**30, abs=0.01)


@pytest.mark.parametrize("tokenizer", ["new", "existing"])
def test_the_plan_counts_what_the_run_computes(tokenizer: str, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["pretrain.training.epochs=1", "pretrain.training.eval_steps=2"]
    if tokenizer == "existing":
        make_workshop(recipe.parent / "known")
        overrides.append("pretrain.tokenizer=known/model")
    scored: list[int] = []
    score = seq2seq.loss

    def counted(model: Any, examples: Any, settings: Any) -> float | None:
        scored.append(sum(1 + len(one.target) for one in examples))
        return score(model, examples, settings)

    monkeypatch.setattr(seq2seq, "loss", counted)
    ((_, work),) = works(planned(recipe, *overrides))
    run(recipe, overrides=overrides, runs=recipe.parent / "runs")
    folder = recipe.parent / "runs" / "numbers" / "01-pretrain"
    events = read_events(folder)
    assert work is not None
    assert work.steps == len(events) == 4
    assert work.trained == pytest.approx(sum(event["tokens"] for event in events), rel=0.02)
    assert work.scored == sum(scored)
    written = [json.loads(line) for line in (folder / "written.jsonl").read_text().splitlines()]
    assert work.rows == len(written) == 7
    assert work.decoded >= 7 * max(len(row["target"]) for row in written)
    # Of `micro_batch_tokens` of both, those of targets; as many of sources come with each as the data has.
    assert work.micro_batch * (1 + work.sources) == pytest.approx(128, rel=0.05)


def test_of_many_pairs_some_are_counted(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, every),) = works(planned(recipe))
    monkeypatch.setattr(text_pairs, "COUNTED_PAIRS", 10)
    ((_, some),) = works(planned(recipe))
    assert every is not None
    assert some is not None
    assert some.steps == every.steps
    assert some.trained == pytest.approx(every.trained, rel=0.2)
    assert some.scored == pytest.approx(every.scored, rel=0.2)


def test_an_existing_tokenizer_is_taken(recipe: Path) -> None:
    known = burnish.load(make_workshop(recipe.parent / "known").parent / "model", device="cpu")[1]
    run(recipe, overrides=["pretrain.tokenizer=known/model", "pretrain.training.epochs=1"], runs=recipe.parent / "runs")
    folder = recipe.parent / "runs" / "numbers" / "01-pretrain" / "model"
    model, tokenizer = burnish.load_encoder_decoder(folder, compute_dtype="float32", device="cpu")
    assert tokenizer.backend.to_str() == known.backend.to_str()
    assert model.config.start_id == known.bos_id


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["pretrain.pairs=null"], r"max_source: is of an encoder-decoder, which learns from `pairs`"),
        (["pretrain.pairs=null"], r"got neither corpus nor pairs; expected one of them"),
        (["pretrain.pairs=null"], r"architecture\.encoder_layers: got 2; only an encoder-decoder has it"),
        (["pretrain.architecture.cross_kv_heads=3"], r"cross_kv_heads: cross_kv_heads \(3\) must divide n_heads \(4\)"),
        (["pretrain.architecture.parallel=true"], r"architecture\.parallel: parallel sublayers"),
        (
            ["pretrain.architecture.positions=learned", "pretrain.architecture.max_positions=8"],
            r"max_source: got 12; the model has learned 8 positions: expected at most 8",
        ),
        (["pretrain.tokenizer.vocab_size=20"], r"tokenizer\.vocab_size: got 20; expected at least 260"),
        (["pretrain.training.epochs=0.001"], r"there would be 0 optimizer steps"),
        (["pretrain.columns={}"], r'no "source"; the row has .*: name the one that is meant in columns'),
    ],
)
def test_what_is_wrong_is_said_before_anything_trains(overrides: list[str], message: str, recipe: Path) -> None:
    with pytest.raises(BurnishError, match=message):
        run(recipe, overrides=overrides, runs=recipe.parent / "runs")


def test_no_stage_goes_on_from_an_encoder_decoder(recipe: Path) -> None:
    recipe.write_text(RECIPE + "  - {type: sft, data: pairs.jsonl, model: '@pretrain'}\n")
    message = r"stage 'pretrain' \(pretrain\) makes no model; it makes an encoder-decoder, which `burnish\.load_encoder"
    with pytest.raises(RecipeError, match=message):
        planned(recipe)
