"""`burnish convert` and the recipe's stage: what they write loads in transformers; what is impossible is explained."""

import sys
from pathlib import Path

import pytest
import torch

import burnish
from burnish import cli
from burnish.checkpoints.huggingface import read_config
from burnish.console.display import Display
from burnish.nn.conversion import with_kv_heads
from burnish.nn.decoder import Decoder
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: fewer"
    + SAME_BITS
    + """stages:
  - type: prepare
    script: prepare.py
  - type: corpus
    documents: ["@prepare/documents.jsonl"]
    window: 64
    heldout: 0.2
  - {type: convert, kv_heads: 1}
  - type: cpt
    corpus: "@corpus"
    replay: 0
    training: {learning_rate: 5e-3, batch_size: 4, epochs: 2, micro_batch_tokens: 256}
  - type: perplexity
    corpus: "@corpus"
    models: {original: base, converted: "@convert", uptrained: "@cpt"}
"""
)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `burnish ARGUMENTS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["burnish", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "1")
        status: str | int | None = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
    captured = capsys.readouterr()
    return int(status or 0), captured.out, captured.err


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The workshop's model: 4 query heads, 2 key/value heads."""
    return make_workshop(tmp_path).parent / "model"


def logits_in_transformers(folder: Path, tokens: list[int]) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return reference(torch.tensor([tokens])).logits[0]


def logits(decoder: Decoder, tokens: list[int]) -> torch.Tensor:
    from burnish.forest import Forest

    with torch.no_grad():
        return decoder.eval().logits(decoder(Forest.from_segments([(tokens, -1)])))


@pytest.mark.parametrize("pooling", ["mean", "first", "random"])
def test_the_folder_is_the_converted_model_in_transformers(
    model: Path, tmp_path: Path, pooling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, tokens = tmp_path / "mqa", [5, 9, 30, 12, 7]
    status, out, _ = call(capsys, "convert", model, "--kv-heads", 1, "--pooling", pooling, "--seed", 4, "-o", folder)
    assert status == 0
    assert "key/value heads: 2 -> 1 in each of 2 layers" in out
    assert "KV cache: 64 -> 32 numbers a token" in out
    decoder, _ = burnish.load(model, compute_dtype="float32", device="cpu")
    expected = logits(with_kv_heads(decoder, 1, pooling=pooling, seed=4), tokens)  # type: ignore[arg-type]
    torch.testing.assert_close(logits_in_transformers(folder, tokens), expected, rtol=1e-4, atol=1e-4)
    loaded, _ = burnish.load(folder, compute_dtype="float32", device="cpu")
    assert torch.equal(logits(loaded, tokens), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--kv-heads", "3", "-o", "out"],
            "2 key/value heads cannot become 3 groups of equal size; possible are: 1, 2",
        ),
        (["--kv-heads", "4", "-o", "out"], "2 key/value heads cannot become 4 groups"),
        (["--kv-heads", "0", "-o", "out"], "Invalid value for '--kv-heads'"),
        (["--kv-heads", "1", "--pooling", "median", "-o", "out"], "'median' is not one of"),
        (["--kv-heads", "1"], "Missing option '--output'"),
        (["-o", "out"], "Missing option '--kv-heads'"),
    ],
)
def test_what_is_impossible_is_explained(
    model: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(model.parent)
    status, out, err = call(capsys, "convert", model, *arguments)
    assert status != 0
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert not (model.parent / "out").exists()


def test_a_model_is_not_replaced_by_its_conversion(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "convert", model, "--kv-heads", 1, "-o", model)
    assert status == 1
    assert "choose another folder" in err


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "convert", tmp_path / "missing", "--kv-heads", 1, "-o", tmp_path / "out")
    assert status == 1
    assert "no such file or folder" in err


@pytest.mark.slow
def test_a_recipe_converts_and_trains_on(tmp_path: Path) -> None:
    recipe = make_workshop(tmp_path, RECIPE)
    summary = run(recipe, runs=tmp_path / "runs", display=Display(quiet=True))
    assert summary["kv_heads"] == {"before": 2, "after": 1}
    assert summary["kv_cache_numbers_per_token"] == {"before": 64, "after": 32}
    perplexities = summary["perplexity_by_model"]["domain"]
    assert list(perplexities) == ["original", "converted", "uptrained"]
    assert perplexities["uptrained"] < perplexities["converted"]
    assert perplexities["converted"] == pytest.approx(summary["perplexity"]["domain"]["before"], rel=1e-5)
    assert perplexities["uptrained"] == pytest.approx(summary["perplexity"]["domain"]["after"], rel=1e-5)
    assert read_config(tmp_path / "runs/fewer/04-cpt/model")[1].n_kv_heads == 1


def test_a_wrong_number_of_heads_stops_the_recipe_before_anything_runs(tmp_path: Path) -> None:
    recipe = make_workshop(tmp_path, RECIPE.replace("kv_heads: 1", "kv_heads: 3"))
    with pytest.raises(burnish.errors.BurnishError, match=r"convert.kv_heads: got 3; the model has 2 .* a divisor"):
        run(recipe, runs=tmp_path / "runs", display=Display(quiet=True))
    assert not (tmp_path / "runs/fewer/01-prepare/documents.jsonl").exists()


def test_the_example_is_a_valid_recipe(smollm2_path: Path, tmp_path: Path) -> None:
    recipe = Path(__file__).parents[2] / "examples/gqa/recipe.yaml"
    plan = make_plan(recipe, runs=tmp_path)
    assert [stage.type for stage in plan.stages] == ["prepare", "corpus", "convert", "cpt", "perplexity"]
    assert plan.model == smollm2_path
