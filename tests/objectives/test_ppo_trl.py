"""A rollout and three updates on it equal those of TRL's own trainer: see `record_trl_ppo.py`."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.datasets.rollout import Rollout, rollout_batches
from burnish.methods.ppo import Settings
from burnish.methods.ppo_steps import PPOSteps, rollout_columns
from burnish.nn.actor_critic import ActorCritic, ReferencePolicy
from burnish.nn.scalar import ScalarModel
from burnish.objectives.ppo import PPO
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.loop import train
from tiny_models import tiny_decoder

TRL: dict[str, Any] = json.loads(Path(__file__).with_name("trl_ppo.json").read_text(encoding="utf-8"))
SETTINGS = TRL["settings"]


@dataclass
class OneRollout:
    """Rollouts of which there is one: TRL's."""

    rollout: Rollout
    config = SimpleNamespace(micro_batch_tokens=60)

    def __getitem__(self, number: int) -> Rollout:
        assert number == 0
        return self.rollout


def recorded(name: str) -> Tensor:
    return torch.tensor(TRL[name])


def trl_rollout(model: ActorCritic) -> Rollout:
    """TRL's completions and scores, with our own columns."""
    answers = TRL["answers"]
    # TRL's scores have the penalty in them: none of its completions ends.
    scores = recorded("scores") + SETTINGS["missing_eos_penalty"]
    rollout = Rollout(
        tasks=list(range(len(answers))),
        prompts=TRL["prompts"],
        answers=answers,
        finished=torch.zeros(len(answers), dtype=torch.bool),
        rewards=scores[None],
        weights={"score": 1.0},
    )
    columns = rollout_columns(model, ReferencePolicy(tiny_decoder(1, 5)))
    found: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for numbers, batch in rollout_batches(rollout, range(len(answers)), micro_batch_tokens=60, stored=False):
            for name, values in columns(batch).items():
                parts = values[batch.entries].split([len(answers[number]) for number in numbers])
                for number, part in zip(numbers, parts, strict=True):
                    found.setdefault(name, [torch.empty(0)] * len(answers))[number] = part
    # Sampled from the policy as it is: what it would have given them then.
    return Rollout(**{**rollout.__dict__, "columns": {**found, "sampling_logps": found["old_logps"]}})


@pytest.fixture
def model() -> ActorCritic:
    return ActorCritic(tiny_decoder(0, 5), ScalarModel(tiny_decoder(2, 5), seed=2), kl_coef=SETTINGS["kl_coef"])


def steps(model: ActorCritic) -> PPOSteps:
    names = Settings.model_fields.keys() & SETTINGS.keys()
    settings = Settings(**{name: SETTINGS[name] for name in names})
    return PPOSteps(model, OneRollout(trl_rollout(model)), settings, n_rollouts=1, seed=0)


def test_what_is_kept_of_a_rollout_equals_trl(model: ActorCritic) -> None:
    columns = trl_rollout(model).columns
    for ours, theirs in (("old_logps", "logprobs"), ("reference_logps", "ref_logprobs"), ("old_values", "values")):
        torch.testing.assert_close(torch.stack(list(columns[ours])), recorded(theirs), rtol=1e-4, atol=1e-5)


def test_advantages_and_returns_equal_trl(model: ActorCritic) -> None:
    batches = steps(model)[0]
    assert len(batches) > 1
    by_answer = {}
    for batch in batches:
        parts = [batch.columns[name].view(-1, 7) for name in ("advantages", "returns")]
        answers = batch.forest.tokens[batch.scored][batch.entries].view(-1, 7).tolist()
        by_answer |= {tuple(answer): part for answer, *part in zip(answers, *parts, strict=True)}
    for name, place in (("advantages", 0), ("returns", 1)):
        found = torch.stack([by_answer[tuple(answer)][place] for answer in TRL["answers"]])
        torch.testing.assert_close(found, recorded(name), rtol=1e-4, atol=1e-4)


def test_three_updates_equal_trl(model: ActorCritic, tmp_path: Path) -> None:
    updates = steps(model)
    objective = PPO(**{name: SETTINGS[name] for name in ("cliprange", "cliprange_value", "vf_coef")})
    config = TrainingConfig(
        learning_rate=SETTINGS["learning_rate"], schedule="constant", warmup_fraction=0, max_grad_norm=1e9
    )
    train(
        model, objective, updates, config, folder=tmp_path, seed=0, identity="trl", step_metrics=updates.metrics,
        outputs=lambda batch: model(batch.forest, batch.scored, entropies=True),
    )  # fmt: skip
    events = read_events(tmp_path)
    assert len(events) == SETTINGS["num_ppo_epochs"]
    # What TRL shows of a rollout is the mean over its updates.
    found = {name: sum(event[name] for event in events) / len(events) for name in TRL["metrics"] if name in events[0]}
    assert set(TRL["metrics"]) - set(found) == {"val/ratio_var"}
    for name, value in found.items():
        assert value == pytest.approx(TRL["metrics"][name], rel=2e-4, abs=1e-5), name
    rollout = updates._rollouts[0]
    (batch,) = (batch for _, batch in rollout_batches(rollout, range(6), micro_batch_tokens=1000, stored=False))
    with torch.no_grad():
        after = model(batch.forest, batch.scored).logps[batch.entries].view(-1, 7)
    answers = batch.forest.tokens[batch.scored][batch.entries].view(-1, 7).tolist()
    expected = torch.stack([recorded("logprobs_after")[TRL["answers"].index(answer)] for answer in answers])
    torch.testing.assert_close(after, expected, rtol=1e-3, atol=1e-3)
    assert (expected - torch.stack([recorded("logprobs")[TRL["answers"].index(a)] for a in answers])).abs().max() > 0.1
