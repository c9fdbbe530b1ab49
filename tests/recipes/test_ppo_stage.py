"""The ppo stage as a recipe runs it: what it leaves, the same bits after a kill, and refusals that name the key."""

import json
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from test_kill import products, run_and_kill, run_to_the_end, server, steps_done

import burnish
from burnish.console.display import Display
from burnish.errors import BurnishError, RecipeError
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.scalar import ScalarModel
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.training.events import read_events
from workshop import SAME_BITS, make_workshop, tiny_tokenizer

__all__ = ["server"]

RECIPE = (
    "name: numbers"
    + SAME_BITS
    + """stages:
  - type: prepare
    script: prepare.py
  - type: ppo
    tasks: "@prepare/train.jsonl"
    rewards:
      - {type: python, file: reward.py, name: digits}
      - {type: length, max_length: 12, cache: 8, weight: 0.1}
    rollouts: 3
    num_mini_batches: 2
    num_ppo_epochs: 2
    max_new_tokens: 12
    target_kl: 0.1
    kl_gain: 1.0
    entropy_coef: 0.01
    missing_eos_penalty: 0.5
    use_score_scaling: true
    training: {learning_rate: 3e-3, batch_size: 8, micro_batch_tokens: 256, checkpoint_seconds: 0}
"""
)
REWARD = """
def reward(prompt, completion, row):
    return sum(character.isdigit() for character in completion) / max(1, len(completion))
"""
LORA_NETWORK = ("ppo.lora={rank: 4}", "ppo.critic.type=network")


def workshop(folder: Path) -> Path:
    recipe = make_workshop(folder, RECIPE)
    (folder / "reward.py").write_text(REWARD)
    return recipe


def run_in(folder: Path, *overrides: str) -> tuple[Path, dict[str, Any]]:
    """Run the recipe; the stage's folder and its metrics."""
    recipe = workshop(folder)
    run(recipe, overrides=overrides, runs=folder / "runs", display=Display(quiet=True))
    stage = folder / "runs" / "numbers" / "02-ppo"
    return stage, json.loads((stage / "stage.json").read_text())["metrics"]


@pytest.mark.parametrize("overrides", [(), LORA_NETWORK], ids=["head", "network with adapters"])
def test_the_stage_leaves_a_policy_and_what_it_sampled(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    stage, metrics = run_in(tmp_path, *overrides)
    assert {"steps": 12, "rollouts": 3, "tasks": 48, "dropped": 0}.items() <= metrics.items()
    decoder, _ = burnish.load(stage / "model", device="cpu", compute_dtype="float32")
    before, _ = burnish.load(tmp_path / "model", device="cpu", compute_dtype="float32")
    changed = [not torch.equal(a, b) for a, b in zip(decoder.parameters(), before.parameters(), strict=True)]
    assert any(changed)
    assert (stage / "adapter").exists() == bool(overrides)
    lines = [json.loads(line) for line in (stage / "rollouts" / "00002.jsonl").read_text().splitlines()]
    assert len(lines) == 16
    assert set(lines[0]["rewards"]) == {"digits", "length"}
    assert not (stage / "partial").exists()
    events = read_events(stage)
    shown = {
        "objective/kl",
        "objective/entropy",
        "objective/non_score_reward",
        "objective/rlhf_reward",
        "policy/entropy_avg",
    }
    shown |= {"objective/scores", "policy/approxkl_avg", "policy/clipfrac_avg", "loss/policy_avg", "loss/value_avg"}
    shown |= {"val/clipfrac_avg", "val/ratio", "val/num_eos_tokens", "objective/kl_coef", "rewards/digits/mean"}
    assert all(shown <= event.keys() for event in events)
    assert events[0]["objective/kl"] == pytest.approx(0, abs=1e-4)
    assert events[-1]["objective/kl_coef"] != events[0]["objective/kl_coef"] == 0.05


@pytest.mark.slow
def test_a_stage_killed_within_a_rollout_ends_with_the_same_bits(tmp_path: Path, server: ForkServerContext) -> None:
    whole, cut = workshop(tmp_path / "whole"), workshop(tmp_path / "cut")
    for recipe in (whole, cut):
        recipe.write_text(recipe.read_text() + "    lora: {rank: 4, dropout: 0.1}\n    critic: {type: network}\n")
    run_to_the_end(whole, server)
    run_and_kill(cut, server, step=6, delay=0)
    assert 6 <= steps_done(cut) < 12, "the kill came too early or too late"
    run_to_the_end(cut, server)
    expected = products(whole)
    assert any(name.endswith("model/model.safetensors") for name in expected)
    assert products(cut) == expected
    rollouts = [sorted((f.parent / "runs/numbers/02-ppo/rollouts").glob("*.jsonl")) for f in (whole, cut)]
    assert [file.read_text() for file in rollouts[0]] == [file.read_text() for file in rollouts[1]]


def reward_model(folder: Path, vocab_size: int) -> None:
    tokenizer = tiny_tokenizer()
    config = DecoderConfig(
        vocab_size=vocab_size, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, d_ff=32, max_positions=256
    )
    burnish.save_reward_model(ScalarModel(Decoder(config), seed=1), tokenizer, folder)


@pytest.mark.slow
def test_a_critic_may_start_as_a_reward_model_of_another_size(tmp_path: Path) -> None:
    reward_model(tmp_path / "critic", tiny_tokenizer().vocab_size)
    stage, metrics = run_in(tmp_path, "ppo.critic={type: network, model: critic}", "ppo.rollouts=1")
    assert metrics["steps"] == 4
    # A new critic would begin with values of zero.
    fresh, _ = run_in(tmp_path / "fresh", "ppo.critic={type: network}", "ppo.rollouts=1")
    first, other = (read_events(folder)[0] for folder in (stage, fresh))
    assert first["objective/scores"] == other["objective/scores"]
    assert first["loss/value_avg"] != other["loss/value_avg"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["critic.model=model"], r"critic\.model: got 'model'; a head has no model of its own"),
        (["use_score_norm=true", "use_score_scaling=false"], r"use_score_norm: got true without use_score_scaling"),
        (["rewards=[{type: format}, {type: format}]"], r"rewards\[1\]: there is a reward 'format' already"),
        (["cliprange=1.5"], r"cliprange: got 1.5"),
        (["kl_estimator=k4"], r"kl_estimator: got 'k4'"),
        (["kl_coeff=0.1"], r"kl_coeff.*did you mean 'kl_coef'"),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_plan(workshop(tmp_path), overrides=[f"ppo.{key}" for key in overrides], runs=tmp_path / "runs")


@pytest.mark.slow
def test_a_critic_that_reads_other_tokens_is_refused(tmp_path: Path) -> None:
    reward_model(tmp_path / "critic", tiny_tokenizer().vocab_size)
    file = tmp_path / "critic" / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    a, b = sorted(vocabulary, key=vocabulary.get)[10:12]
    vocabulary[a], vocabulary[b] = vocabulary[b], vocabulary[a]
    file.write_text(json.dumps(content))
    with pytest.raises(BurnishError, match=r"ppo\.critic\.model: 'critic' has another vocabulary"):
        run_in(tmp_path, "ppo.critic={type: network, model: critic}")


@pytest.mark.slow
def test_a_prompt_that_leaves_no_room_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match=r"no prompt leaves room .*lower max_new_tokens \(255\)"):
        run_in(tmp_path, "ppo.max_new_tokens=255")
