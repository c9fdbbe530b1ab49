"""The stage reward_model: learns, measures what it held out, resumes to the same bits, and is no policy."""

import json
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from test_kill import kill_often, products, run_to_the_end, server, steps_done  # noqa: F401

import burnish
from burnish.console.display import Display
from burnish.errors import CheckpointError, DataError, RecipeError
from burnish.generation.answer import Answer
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.rewards.learned import by_reward_model
from workshop import SAME_BITS, make_workshop

HEAD = (
    "name: numbers"
    + SAME_BITS
    + """stages:
"""
)
TRAINING = "{learning_rate: 5e-3, batch_size: 6, epochs: 6, micro_batch_tokens: 200, checkpoint_seconds: 0}"
STAGE = f"""\
  - type: reward_model
    pairs: pairs.jsonl
    heldout: 6
    max_length: 60
    center_rewards_coefficient: 0.01
    training: {TRAINING}
"""


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make(folder: Path, stages: str = STAGE) -> Path:
    """A workshop with pairs and ranked lists in which SQL is better than prose; some rows cannot be used."""
    recipe = make_workshop(folder, HEAD + stages)
    questions = [f"{i} mod 3?" if i != 2 else "2 mod 3? " * 20 for i in range(24)]
    pairs = [
        {"prompt": question, "chosen": f"SELECT {i % 3}", "rejected": f"prose {(i + 1) % 3}", "margin": i % 2}
        for i, question in enumerate(questions)
    ]
    pairs[3]["rejected"] = pairs[3]["chosen"]
    lists = [
        {"prompt": question, "responses": ["prose", f"SELECT {i % 3}", "SELECT or prose"], "ranks": [3, 1, 2]}
        for i, question in enumerate(questions)
    ]
    write(folder / "pairs.jsonl", pairs)
    write(folder / "lists.jsonl", lists)
    return recipe


def go(recipe: Path, *overrides: str) -> dict[str, Any]:
    return run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=Display(quiet=True))


def folder_of(recipe: Path, name: str = "01-reward_model") -> Path:
    return recipe.parent / "runs" / "numbers" / name


def metrics_of(recipe: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder_of(recipe) / "stage.json").read_text())["metrics"]
    return metrics


def answered(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["pairs=lists.jsonl", "loss_type=plackett_luce"],
        *(
            pytest.param(options, marks=pytest.mark.slow)
            for options in (
                ["margin_weight=0.5"],
                ["lora.rank=4", "training.learning_rate=2e-2"],
                ["freeze_layers=1"],
                ["pairs=lists.jsonl"],
            )
        ),
    ],
    ids=" ".join,
)
def test_held_out_answers_come_into_order(options: list[str], tmp_path: Path) -> None:
    recipe = make(tmp_path)
    summary = go(recipe, *(f"reward_model.{option}" for option in options))
    heldout = metrics_of(recipe)["heldout"]
    assert heldout["rows"] == 6
    assert heldout["after"]["accuracy"] == 1.0
    assert heldout["after"]["margin"] > heldout["before"]["margin"] + 0.5
    assert summary["heldout"]["reward_model"]["after"]["calibration_error"] == heldout["after"]["calibration_error"]
    assert "calibration" not in summary["heldout"]["reward_model"]["after"]
    n_pairs = 18 if "pairs=lists.jsonl" in options else 6
    assert sum(row["pairs"] for row in heldout["after"]["calibration"]) == n_pairs


def test_what_is_left_of_a_run(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    go(recipe)
    folder, metrics = folder_of(recipe), metrics_of(recipe)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert {"loss", "accuracy", "margin", "mean_reward", "min_reward", "max_reward"} <= set(events[-1])
    assert all(event["min_reward"] <= event["mean_reward"] <= event["max_reward"] for event in events)
    assert (metrics["pairs"], metrics["dropped"], metrics["cut"]) == (16, 2, 0)
    told = [json.loads(line) for line in (folder / "data_report.jsonl").read_text().splitlines()]
    assert [(row["line"], row["action"]) for row in told] == [(3, "dropped"), (4, "dropped")]
    assert told[1]["reason"] == 'chosen and rejected are equal ("SELECT 0")'
    assert (folder / "heldout_report.jsonl").read_text() == ""


def test_transformers_gives_the_same_rewards_to_conversations(tmp_path: Path) -> None:
    """As a user would: the saved chat template, a padded batch, the classifier."""
    transformers = pytest.importorskip("transformers")
    recipe = make(tmp_path)
    go(recipe)
    folder = folder_of(recipe) / "model"
    conversations = [answered("7 mod 3?", answer) for answer in ("SELECT 1", "prose", "SELECT 1 or so")]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    encoded = tokenizer.apply_chat_template(conversations, padding=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        expected = theirs(**encoded).logits.squeeze(1).tolist()
    reward = by_reward_model(*burnish.load_reward_model(folder, compute_dtype="float32", device="cpu"))
    answers = [Answer(messages[:1], messages[1]["content"]) for messages in conversations]
    assert [one.score for one in reward(answers)] == pytest.approx(expected, abs=1e-4)
    assert expected[0] > expected[1]


def test_a_file_of_its_own_to_measure_on(tmp_path: Path) -> None:
    recipe = make(tmp_path, STAGE.replace("heldout: 6", "heldout_pairs: lists.jsonl"))
    go(recipe)
    metrics = metrics_of(recipe)
    assert (metrics["pairs"], metrics["heldout"]["rows"]) == (22, 23)
    assert len((folder_of(recipe) / "heldout_report.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ("type: sft\n    data: pairs.jsonl\n    model: '@reward_model'", "(reward_model) makes no model"),
        ("type: export\n    model: '@reward_model'", "(reward_model) makes no model"),
        ("type: dpo\n    pairs: '@reward_model'", "(reward_model) makes no preferences"),
    ],
)
def test_a_reward_model_is_no_policy(later: str, message: str, tmp_path: Path) -> None:
    recipe = make(tmp_path, STAGE + f"  - {later}\n")
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe, runs=tmp_path / "runs")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere", "expected @STAGE of a reward_model stage, or the folder of a reward model"),
        ("'@dpo'", "stage 'dpo' (dpo) makes no reward_model; stages that make one: reward_model"),
        ("'@reward_model'", None),
    ],
)
def test_who_takes_a_reward_model_takes_nothing_else(reference: str, message: str | None, tmp_path: Path) -> None:
    compare = "type: compare\n    prompts: pairs.jsonl\n    models: {tuned: '@dpo'}\n    reference: base"
    stages = f"{STAGE}  - {{type: dpo, pairs: pairs.jsonl}}\n  - {compare}\n    reward_model: {reference}\n"
    recipe = make(tmp_path, stages)
    if message is None:
        producers = {item.field: item.producer for item in make_plan(recipe, runs=tmp_path / "runs").stages[2].inputs}
        assert producers["reward_model"] == "reward_model"
        return
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe, runs=tmp_path / "runs")
    assert message in str(caught.value)


def test_later_stages_start_from_the_latest_policy(tmp_path: Path) -> None:
    recipe = make(tmp_path, STAGE + "  - type: dpo\n    pairs: pairs.jsonl\n")
    plan = make_plan(recipe, runs=tmp_path / "runs")
    assert {item.field: item.written for item in plan.stages[1].inputs}["model"] == "base"


def test_a_reward_model_is_not_loaded_as_a_policy(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    go(recipe)
    with pytest.raises(CheckpointError, match="it is a reward model: a policy is needed here"):
        burnish.load(folder_of(recipe) / "model")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["margin_weight=1.0", "pairs=lists.jsonl"], r"lists\.jsonl:1: the pair has no 'margin' .* \(24 such rows\)"),
        (["heldout=24"], r"heldout is 24, but there are only 24 rows"),
        (["max_length=5"], r"no usable row; raise max_length \(5\)"),
    ],
)
def test_data_that_cannot_be_trained_on(overrides: list[str], message: str, tmp_path: Path) -> None:
    recipe = make(tmp_path)
    with pytest.raises(DataError, match=message):
        go(recipe, *(f"reward_model.{override}" for override in overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["margin_weight=1.0", "loss_type=plackett_luce"], "plackett_luce has no margin"),
        (["heldout_pairs=lists.jsonl"], "got 6 besides heldout_pairs"),
        (["lora.rank=4", "freeze_layers=1"], "`lora` freezes all weights already"),
        (["pairs=@sample"], "does not exist"),
    ],
)
def test_settings_that_contradict_each_other(overrides: list[str], message: str, tmp_path: Path) -> None:
    recipe = make(tmp_path)
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe, overrides=[f"reward_model.{override}" for override in overrides], runs=tmp_path / "runs")
    assert message in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", ["", pytest.param("    lora: {rank: 2}\n", marks=pytest.mark.slow)], ids=["full", "lora"]
)
def test_a_killed_run_ends_with_the_same_bits(
    options: str,
    tmp_path: Path,
    server: ForkServerContext,  # noqa: F811
) -> None:
    undisturbed, killed = make(tmp_path / "one", STAGE + options), make(tmp_path / "two", STAGE + options)
    run_to_the_end(undisturbed, server)
    kill_often(killed, server, steps_done(undisturbed), seed=1, kills=2)
    run_to_the_end(killed, server)
    assert products(killed) == products(undisturbed)
    found, expected = metrics_of(killed), metrics_of(undisturbed)
    assert found["heldout"] == expected["heldout"]
    assert found["loss"] == expected["loss"]
