"""Stages of process and outcome rewards: they learn, resume to the same bits, and judge in the stages that sample."""

import json
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from test_kill import kill_often, products, run_to_the_end, server, steps_done  # noqa: F401

import burnish
from burnish.console.display import Display
from burnish.errors import DataError, RecipeError
from burnish.generation.answer import Answer
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.rewards.learned import by_reward_model
from burnish.rewards.process import by_process_reward_model
from burnish.text.chat import encode_prompt
from burnish.text.steps import encode_steps
from burnish.training.events import read_events
from workshop import SAME_BITS, make_workshop

HEAD = f"name: numbers{SAME_BITS}keep: all\nstages:\n"
TRAINING = "{learning_rate: 5e-3, batch_size: 6, epochs: 4, micro_batch_tokens: 200, checkpoint_seconds: 0}"
PROCESS = f"""\
  - {{type: process_reward_model, data: steps.jsonl, heldout: 6, max_length: 60, model: base, training: {TRAINING}}}
"""
OUTCOME = f"""\
  - {{type: outcome_reward_model, data: answers.jsonl, heldout: 6, max_length: 60, model: base, training: {TRAINING}}}
"""
SAMPLED = """\
  - type: step_labels
    tasks: tasks.jsonl
    judges: [{type: python, file: judge.py}]
    step_separator: e
    samples: 3
    rollouts: 2
    max_new_tokens: 24
  - {type: process_reward_model, data: "@step_labels", step_separator: e, training: {batch_size: 8}}
  - {type: outcome_reward_model, data: "@step_labels/outcomes.jsonl", label_at: tokens, training: {batch_size: 8}}
  - type: grpo
    tasks: tasks.jsonl
    model: base
    rewards:
      - {type: process_reward_model, model: "@process_reward_model", aggregation: product}
      - {type: reward_model, model: "@outcome_reward_model", probability: true}
    num_generations: 4
    max_new_tokens: 24
    rollouts: 1
    training: {batch_size: 2}
"""
CHAIN = (
    "  - {type: adapt_tokenizer, model: base, tokens: {<|summary|>: SELECT}}\n"
    + SAMPLED.replace(
        "    num_generations: 4\n",
        "      - {type: words, words: [e], weight: -0.1}\n    num_generations: 4\n    eval_tasks: tasks.jsonl\n",
    ).replace("model: base\n    rewards", 'model: "@adapt_tokenizer"\n    rewards')
    + """\
  - &rft {type: rft, model: base, tasks: tasks.jsonl, rewards: [{type: python, file: judge.py}], threshold: 0,
      stop: ["e"], rollouts: 2, max_new_tokens: 24, training: {batch_size: 4, checkpoint_seconds: 0}}
  - {<<: *rft, name: online, online: true, rollouts: 3}
  - {type: evaluate, tasks: tasks.jsonl, models: {rft: "@rft", online: "@online"}, samples: 4,
     judges: [{type: python, file: judge.py}], max_new_tokens: 12, temperature: 1.0}
"""
)
"""Every stage that reasoning has, one after the other."""
JUDGE = "def reward(prompt, completion, row):\n    return len(completion) % 2 == row['n'] % 2\n"


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make(folder: Path, stages: str) -> Path:
    """A workshop in which steps of SQL are right and prose is wrong; two answers to each question."""
    recipe = make_workshop(folder, HEAD + stages)
    steps, answers = [], []
    for number in range(24):
        question, right = f"{number // 2} mod 3?", number % 2
        texts = [f"SELECT {number % 3}", "SELECT 1" if right else "prose"]
        steps.append({"prompt": question, "completions": texts, "labels": [True, bool(right)]})
        answers.append({"prompt": question, "completion": "\n".join(texts), "label": bool(right)})
    write(folder / "steps.jsonl", steps)
    write(folder / "answers.jsonl", answers)
    write(folder / "tasks.jsonl", [{"prompt": f"{number} mod 3?", "n": number} for number in range(4)])
    (folder / "judge.py").write_text(JUDGE)
    return recipe


def go(recipe: Path, *overrides: str) -> Path:
    run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=Display(quiet=True))
    return recipe.parent / "runs" / "numbers"


def metrics_of(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "stage.json").read_text())["metrics"]
    return metrics


def test_steps_are_told_apart_as_transformers_tells_them(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = go(make(tmp_path, PROCESS)) / "01-process_reward_model"
    metrics = metrics_of(folder)
    assert (metrics["answers"], metrics["labels"], metrics["heldout"]["rows"]) == (18, 36, 6)
    assert metrics["heldout"]["after"]["accuracy"] == 1.0
    assert metrics["heldout"]["after"]["loss"] < metrics["heldout"]["before"]["loss"] - 0.2
    assert sum(one["pairs"] for one in metrics["heldout"]["after"]["calibration"]) == 12
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(folder / "model", dtype=torch.float32).eval()
    model, tokenizer = burnish.load_process_reward_model(folder / "model", compute_dtype="float32", device="cpu")
    prompt: Any = [{"role": "user", "content": "7 mod 3?"}]
    own, ends = encode_steps(tokenizer, ["SELECT 1", "prose"], "\n")
    asked = encode_prompt(tokenizer, prompt)
    with torch.no_grad():
        logits = theirs(torch.tensor([asked + own])).logits[0, len(asked) :]
    expected = logits.softmax(-1)[ends, 1].tolist()
    (said,) = by_process_reward_model(model, tokenizer, aggregation="mean")([Answer(prompt, "SELECT 1\nprose")])
    assert not isinstance(said, float | None)
    assert said.score == pytest.approx(sum(expected) / 2, abs=1e-4)
    assert expected[0] > 0.5 > expected[1]


def test_outcomes_are_told_apart_with_the_probability_of_being_right(tmp_path: Path) -> None:
    folder = go(make(tmp_path, OUTCOME), "outcome_reward_model.label_at=tokens") / "01-outcome_reward_model"
    metrics = metrics_of(folder)
    assert (metrics["answers"], metrics["heldout"]["rows"]) == (18, 6)
    assert metrics["heldout"]["after"]["loss"] < metrics["heldout"]["before"]["loss"] - 0.1
    model, tokenizer = burnish.load_reward_model(folder / "model", compute_dtype="float32", device="cpu")
    answers = [Answer([{"role": "user", "content": "7 mod 3?"}], f"SELECT 1\n{end}") for end in ("SELECT 1", "prose")]
    right, wrong = (float(one.score) for one in by_reward_model(model, tokenizer, probability=True)(answers))
    assert 1 > right > 0.5 > wrong > 0
    scores = [one.score for one in by_reward_model(model, tokenizer)(answers)]
    assert torch.tensor(scores).sigmoid().tolist() == pytest.approx([right, wrong], abs=1e-5)


@pytest.mark.slow
def test_labels_are_sampled_learned_and_rewarded_by(tmp_path: Path) -> None:
    folder = go(make(tmp_path, SAMPLED))
    labels = metrics_of(folder / "01-step_labels")
    assert labels["answers"] <= 12
    assert metrics_of(folder / "02-process_reward_model")["answers"] == labels["answers"]
    assert metrics_of(folder / "03-outcome_reward_model")["answers"] == labels["answers"]
    config = json.loads((folder / "02-process_reward_model" / "model" / "config.json").read_text())
    assert config["step_separator"] == "e"
    (event,) = read_events(folder / "04-grpo")
    assert 0 <= event["rewards/process_reward_model/mean"] <= 1
    assert 0 < event["rewards/reward_model/mean"] < 1
    assert event["grad_norm"] > 0


@pytest.mark.parametrize(
    ("stages", "overrides", "message"),
    [
        (PROCESS, ["heldout_data=steps.jsonl"], "got 6 besides heldout_data"),
        (SAMPLED.replace("type: python, file: judge.py", "type: length, max_length: 9, cache: 2"), [], "tells right"),
        (PROCESS + "  - {type: sft, data: steps.jsonl, model: '@process_reward_model'}\n", [], "makes no model"),
        (SAMPLED.replace('"@process_reward_model"', '"@outcome_reward_model"'), [], "makes no process_reward_model"),
    ],
)
def test_recipes_that_cannot_be(stages: str, overrides: list[str], message: str, tmp_path: Path) -> None:
    recipe = make(tmp_path, stages)
    changes = [f"process_reward_model.{one}" for one in overrides]
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe, overrides=changes, runs=tmp_path / "runs")
    assert message in str(caught.value)


def test_a_label_too_few_is_named_before_anything_runs(tmp_path: Path) -> None:
    recipe = make(tmp_path, PROCESS)
    rows = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    rows[4]["labels"] = [True]
    write(tmp_path / "steps.jsonl", rows)
    with pytest.raises(DataError, match=r"steps\.jsonl:5: labels has length 1, but completions has 2 steps"):
        go(recipe)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "kills"), [(PROCESS, 1), (OUTCOME, 1), (CHAIN, 8)], ids=["process", "outcome", "chain"]
)
def test_a_killed_run_ends_with_the_same_bits(
    stage: str,
    kills: int,
    tmp_path: Path,
    server: ForkServerContext,  # noqa: F811
) -> None:
    undisturbed, killed = make(tmp_path / "one", stage), make(tmp_path / "two", stage)
    run_to_the_end(undisturbed, server)
    kill_often(killed, server, steps_done(undisturbed), seed=1, kills=kills)
    run_to_the_end(killed, server)
    assert products(killed) == products(undisturbed)
