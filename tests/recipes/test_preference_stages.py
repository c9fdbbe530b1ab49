"""The stages dpo and kto: every loss, held-out rows, cached references, adapters, kills, and messages."""

import json
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from test_kill import kill_often, products, run_to_the_end, server, steps_done  # noqa: F401
from torch import Tensor

import burnish
from burnish.console.display import Display
from burnish.errors import BurnishError, DataError, RecipeError
from burnish.forest import Forest
from burnish.nn.decoder import Decoder
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.text.chat import encode_conversation
from burnish.text.tokenizer import Tokenizer
from workshop import SAME_BITS, make_workshop

HEAD = (
    "name: numbers"
    + SAME_BITS
    + """stages:
"""
)
TRAINING = "{learning_rate: 2e-3, batch_size: 6, epochs: 1, micro_batch_tokens: 200, checkpoint_seconds: 0}"
DPO = f"""\
  - type: dpo
    pairs: pairs.jsonl
    heldout: 4
    max_length: 60
    training: {TRAINING}
"""
KTO = f"""\
  - type: kto
    data: answers.jsonl
    columns: {{label: correct}}
    heldout: 6
    max_length: 60
    training: {TRAINING}
"""


def make(folder: Path, stages: str) -> Path:
    """A workshop with pairs and judged answers, one of each too long; returns the recipe's file."""
    recipe = make_workshop(folder, HEAD + stages)
    questions = [f"{i} mod 3?" if i != 2 else "2 mod 3? " * 20 for i in range(22)]
    pairs = [
        {"prompt": question, "chosen": f"SELECT {i % 3}", "rejected": f"SELECT {(i + 1) % 3} or so"}
        for i, question in enumerate(questions)
    ]
    answers = [
        {"prompt": question, "completion": f"SELECT {(i + i % 2) % 3}", "correct": i % 2 == 0}
        for i, question in enumerate(questions)
    ]
    for name, rows in (("pairs", pairs), ("answers", answers)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return recipe


def go(recipe: Path, *overrides: str) -> dict[str, Any]:
    return run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=Display(quiet=True))


def stage_folder(recipe: Path, name: str) -> Path:
    return recipe.parent / "runs" / "numbers" / name


def metrics(recipe: Path, name: str) -> dict[str, Any]:
    return json.loads((stage_folder(recipe, name) / "stage.json").read_text())["metrics"]


def cache(recipe: Path) -> dict[str, float]:
    return {str(file): file.stat().st_mtime_ns for file in recipe.parent.rglob("reference_logps/*")}


def token_logps(decoder: Decoder, tokens: list[int]) -> Tensor:
    """Log-probabilities of a sequence's tokens but the first, by a plain causal transformer."""
    sequence = torch.tensor(tokens)
    with torch.no_grad():
        logits = decoder.logits(decoder(Forest(sequence, (len(tokens),), (-1,))))
    return logits[:-1].log_softmax(-1).gather(1, sequence[1:, None]).squeeze(1)


def text_logp(decoder: Decoder, tokenizer: Tokenizer, prompt: str, answer: str) -> float:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    tokens, mask = encode_conversation(tokenizer, messages)
    return token_logps(decoder, tokens)[torch.tensor(mask[1:])].sum().item()


LOSSES = {
    "sigmoid": ["rpo_alpha=0.5", "label_smoothing=0.1"],
    "hinge": ["length_normalized=true", "beta=5.0"],
    "ipo": [],
    "robust": ["label_smoothing=0.1"],
    "simpo": ["beta=2.0", "simpo_gamma=0.3"],
    "orpo": [],
    "cpo": ["cpo_alpha=0.5"],
}


@pytest.mark.parametrize(
    "loss_type",
    [pytest.param(name, marks=() if name in ("sigmoid", "simpo") else pytest.mark.slow) for name in LOSSES],
)
def test_every_loss_prefers_the_chosen_answers_of_held_out_pairs(loss_type: str, tmp_path: Path) -> None:
    recipe = make(tmp_path, DPO)
    summary = go(recipe, f"dpo.loss_type={loss_type}", *(f"dpo.{option}" for option in LOSSES[loss_type]))
    found = metrics(recipe, "01-dpo")
    assert (found["pairs"], found["dropped"], found["steps"]) == (17, 1, 3)
    heldout = found["heldout"]
    assert summary["heldout"] == {"dpo": heldout}
    assert heldout["rows"] == 4
    assert heldout["after"]["loss"] < heldout["before"]["loss"]
    assert heldout["after"]["rewards/margins"] > heldout["before"]["rewards/margins"]
    assert (not cache(recipe)) == (loss_type in ("simpo", "orpo", "cpo")), "references are computed where they are read"
    assert ("nll_loss" in found) == (loss_type in ("sigmoid", "orpo", "cpo"))


def test_kto_separates_held_out_answers(tmp_path: Path) -> None:
    recipe = make(tmp_path, KTO)
    summary = go(recipe, "kto.training.epochs=3", "kto.desirable_weight=1.2")
    found = metrics(recipe, "01-kto")
    assert (found["examples"], found["desired"], found["dropped"], found["steps"]) == (15, 7, 1, 8)
    heldout = found["heldout"]
    assert summary["heldout"] == {"kto": heldout}
    assert heldout["rows"] == 6
    assert heldout["before"]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert heldout["after"]["rewards/margins"] > 0
    events = [json.loads(line) for line in (stage_folder(recipe, "01-kto") / "events.jsonl").read_text().splitlines()]
    assert events[0]["kl"] == pytest.approx(0, abs=1e-5), "at first the policy is the reference"


def test_kto_says_where_all_labels_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = make(tmp_path, KTO)
    file = tmp_path / "answers.jsonl"
    rows = [json.loads(line) | {"correct": True} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = f"{file}: the label of all 15 answers is true, and KTO learns from"
    run(recipe, overrides=["kto.training.epochs=1"], runs=tmp_path / "runs", display=Display())
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("is true, and KTO learns from") == 2, "before anything runs, and by the stage"
    notices = json.loads((stage_folder(recipe, "01-kto") / "stage.json").read_text())["notices"]
    assert [one.startswith(said) for one in notices] == [True]


def test_the_accuracy_is_that_of_the_two_models(tmp_path: Path) -> None:
    recipe = make(tmp_path, DPO)
    go(recipe, "dpo.training.epochs=2")
    heldout = metrics(recipe, "01-dpo")["heldout"]
    policy, tokenizer = burnish.load(stage_folder(recipe, "01-dpo") / "model", device="cpu", compute_dtype="float32")
    reference, _ = burnish.load(recipe.parent / "model", device="cpu", compute_dtype="float32")
    margins = []
    for line in (recipe.parent / "pairs.jsonl").read_text().splitlines()[-4:]:
        pair = json.loads(line)
        ratios = [
            text_logp(policy, tokenizer, pair["prompt"], pair[answer])
            - text_logp(reference, tokenizer, pair["prompt"], pair[answer])
            for answer in ("chosen", "rejected")
        ]
        margins.append(0.1 * (ratios[0] - ratios[1]))
    assert heldout["after"]["rewards/margins"] == pytest.approx(sum(margins) / 4, rel=1e-3)
    assert heldout["after"]["rewards/accuracies"] == sum(margin > 0 for margin in margins) / 4
    assert heldout["before"]["rewards/margins"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("stage", "file"), [(DPO, "pairs.jsonl"), (KTO, "answers.jsonl")])
def test_a_dropped_row_is_named_in_the_stage_s_folder(stage: str, file: str, tmp_path: Path) -> None:
    recipe = make(tmp_path, stage)
    go(recipe)
    (folder,) = (recipe.parent / "runs" / "numbers").glob("01-*")
    (row,) = map(json.loads, (folder / "data_report.jsonl").read_text().splitlines())
    assert (Path(row["file"]).name, row["line"], row["action"]) == (file, 3, "dropped")
    assert "max_length 60" in row["reason"]
    assert (folder / "heldout_report.jsonl").read_text() == ""


@pytest.mark.parametrize(("stage", "name"), [(DPO, "dpo"), pytest.param(KTO, "kto", marks=pytest.mark.slow)])
def test_another_beta_finds_the_reference_in_the_cache(stage: str, name: str, tmp_path: Path) -> None:
    recipe = make(tmp_path, stage)
    go(recipe)
    before = cache(recipe)
    first = metrics(recipe, f"01-{name}")
    go(recipe, f"{name}.beta=0.7", f"{name}.training.learning_rate=1e-4")
    assert before
    assert cache(recipe) == before
    assert metrics(recipe, f"01-{name}")["loss"] != first["loss"]
    go(recipe, f"{name}.max_length=50")
    assert cache(recipe) == before, "the same tokens have the same key"


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "name"), [(DPO, "dpo"), (KTO, "kto")])
def test_adapters_train_against_the_same_reference(stage: str, name: str, tmp_path: Path) -> None:
    recipe = make(tmp_path, stage)
    go(recipe)
    before, full = cache(recipe), metrics(recipe, f"01-{name}")["heldout"]
    go(recipe, f"{name}.lora.rank=4", f"{name}.training.learning_rate=2e-2", f"{name}.training.epochs=2")
    folder, heldout = stage_folder(recipe, f"01-{name}"), metrics(recipe, f"01-{name}")["heldout"]
    assert set(before) <= set(cache(recipe)) if name == "kto" else cache(recipe) == before
    assert heldout["before"] == full["before"]
    assert heldout["after"]["rewards/margins"] > 0.01
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    merged, _ = burnish.load(folder / "model", device="cpu", compute_dtype="float32")
    base = recipe.parent / "model"
    adapted, _ = burnish.load(folder / "adapter", base=base, device="cpu", compute_dtype="float32")
    for (parameter, one), other in zip(merged.named_parameters(), adapted.parameters(), strict=True):
        assert one.equal(other), parameter


def variant(stage: str, *keys: str) -> str:
    """A stage that trains the base model, with further keys."""
    return "".join([stage, *(f"    {key}\n" for key in ("model: base", *keys))])


KILLED = "".join(
    [
        variant(DPO),
        variant(DPO, "name: ipo", "loss_type: ipo", "rpo_alpha: 0.5", "lora: {rank: 2, dropout: 0.2}"),
        variant(DPO, "name: orpo", "loss_type: orpo"),
        variant(KTO),
        variant(KTO, "name: adapters", "lora: {rank: 2, dropout: 0.2}"),
    ]
)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, server: ForkServerContext) -> None:  # noqa: F811
    undisturbed = make(tmp_path / "undisturbed", KILLED)
    run_to_the_end(undisturbed, server)
    expected, n_steps = products(undisturbed), steps_done(undisturbed)
    assert len([name for name in expected if name.endswith("/model.safetensors")]) == 5
    recipe = make(tmp_path / "killed", KILLED)
    kill_often(recipe, server, n_steps, seed=1, kills=5)
    run_to_the_end(recipe, server)
    assert products(recipe) == expected
    for name in ("01-dpo", "02-ipo", "03-orpo", "04-kto", "05-adapters"):
        assert metrics(recipe, name)["heldout"] == metrics(undisturbed, name)["heldout"], name


MISTAKES = {
    "a setting of another loss": (
        DPO + "    simpo_gamma: 0.5\n",
        ["stages[0].simpo_gamma: got 0.5; loss_type 'sigmoid' does not read it, only simpo", "remove it"],
    ),
    "even at its default": (
        DPO + "    loss_type: orpo\n    label_smoothing: 0.0\n",
        ["stages[0].label_smoothing: got 0.0; loss_type 'orpo' does not read it, only sigmoid, robust, cpo"],
    ),
    "the length of ipo": (
        DPO + "    loss_type: ipo\n    length_normalized: true\n",
        ["stages[0].length_normalized: got True", "ipo is always length-normalized"],
    ),
    "robust without noise": (
        DPO + "    loss_type: robust\n",
        ["stages[0].loss_type: got 'robust' without label_smoothing", "for example 0.1"],
    ),
    "simpo without beta": (DPO + "    loss_type: simpo\n", ["stages[0].loss_type: got 'simpo' without beta", "2.0"]),
    "means without beta": (
        DPO + "    length_normalized: true\n",
        ["stages[0].length_normalized: got true without beta", "5.0"],
    ),
    "unknown loss": (DPO + "    loss_type: simppo\n", ["stages[0].loss_type: got 'simppo'", "did you mean 'simpo'?"]),
    "too much smoothing": (
        DPO + "    label_smoothing: 0.5\n",
        ["stages[0].label_smoothing: got 0.5; expected less than 0.5"],
    ),
    "a weight of nothing": (
        KTO + "    undesirable_weight: 0\n",
        ["stages[0].undesirable_weight: got 0; expected more than 0"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_settings_that_do_not_fit_are_refused(mistake: str, tmp_path: Path) -> None:
    stages, parts = MISTAKES[mistake]
    recipe = make(tmp_path, stages)
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe, runs=tmp_path / "runs")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(("stage", "name", "rows"), [(DPO, "dpo", "pairs"), (KTO, "kto", "answers")])
def test_too_few_rows_are_a_clear_error(stage: str, name: str, rows: str, tmp_path: Path) -> None:
    recipe = make(tmp_path, stage)
    with pytest.raises(DataError, match=rf"{rows}.jsonl: heldout is 22, but there are only 22 rows: lower it"):
        go(recipe, f"{name}.heldout=22")
    with pytest.raises(BurnishError, match=rf"{rows}.jsonl: .*usable.*raise max_length \(9\)"):
        go(recipe, f"{name}.max_length=9")


def test_pairs_of_which_an_earlier_stage_has_found_none(tmp_path: Path) -> None:
    recipe = make(
        tmp_path, "  - {type: prepare, script: make.py}\n" + DPO.replace("pairs.jsonl", "'@prepare/pairs.jsonl'")
    )
    (tmp_path / "make.py").write_text("import pathlib, sys\n(pathlib.Path(sys.argv[2]) / 'pairs.jsonl').touch()\n")
    with pytest.raises(DataError, match=r"'@prepare/pairs\.jsonl' is empty: the stage found no row to write"):
        go(recipe)
