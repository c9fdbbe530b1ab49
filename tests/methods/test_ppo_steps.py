"""PPO's updates: functions of (seed, rollout, epoch), the same bits after a stop, and a reward that rises."""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_rollouts import PROMPTS, TASKS, Words, rollouts
from torch import Tensor

from burnish.generation.answer import Answer
from burnish.generation.sampling import Sampling
from burnish.methods.ppo import Settings
from burnish.methods.ppo_steps import PPOSteps, rollout_columns
from burnish.methods.rollouts import Rollouts
from burnish.nn.actor_critic import ActorCritic, CriticKind, ReferencePolicy, make_critic
from burnish.nn.lora import LoraConfig, add_lora
from burnish.objectives.kl import kl_estimate
from burnish.objectives.ppo import PPO
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import WeightedJudge
from burnish.rewards.sampled_groups import RolloutConfig
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.interrupt import Interrupted
from burnish.training.loop import Progress, train
from tiny_models import tiny_decoder

ADAPTIVE = Settings(num_ppo_epochs=2, num_mini_batches=3, target_kl=0.01, kl_gain=1, use_score_scaling=True)


def make(
    folder: Path, settings: Settings = ADAPTIVE, *, kind: CriticKind = "network", lora: bool = False
) -> tuple[ActorCritic, PPOSteps]:
    actor = tiny_decoder(scale=3)
    if lora:
        add_lora(actor, LoraConfig(rank=2, dropout=0.2), seed=0)
    model = ActorCritic(actor, make_critic(actor, kind), kl_coef=0.2)
    sampled = rollouts(folder, actor, columns=rollout_columns(model, ReferencePolicy(actor)))
    return model, PPOSteps(model, sampled, settings, n_rollouts=3, seed=5)


def fit(folder: Path, model: ActorCritic, steps: PPOSteps, **options: object) -> dict[str, Tensor]:
    config = TrainingConfig(learning_rate=5e-3, checkpoint_seconds=options.pop("checkpoint_seconds", 0))
    train(
        model, PPO(), steps, config, folder=folder, seed=5, identity="run", step_metrics=steps.metrics,
        outputs=lambda batch: model(batch.forest, batch.scored), **options,
    )  # fmt: skip
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("kind", "lora"), [("network", True), pytest.param("head", False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stop_after", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_a_run_stopped_within_a_rollout_ends_with_the_same_bits(
    tmp_path: Path, kind: CriticKind, lora: bool, stop_after: int
) -> None:
    expected = fit(tmp_path / "whole", *make(tmp_path / "whole", kind=kind, lora=lora))

    def stop(progress: Progress) -> None:
        if progress.step == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        # Saved at the end of the step that is under way; the rollouts are on disk.
        fit(tmp_path, *make(tmp_path, kind=kind, lora=lora), checkpoint_seconds=1e9, on_progress=stop)
    seen: list[Progress] = []
    found = fit(tmp_path, *make(tmp_path, kind=kind, lora=lora), on_progress=seen.append)
    assert seen[0].step == stop_after + 1
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name
    shown, whole = ([event["objective/kl_coef"] for event in read_events(f)] for f in (tmp_path, tmp_path / "whole"))
    assert shown == whole
    assert len(set(whole)) == 3, "the coefficient adapts once a rollout"


def test_rollouts_that_outlived_the_state_are_learned_from_again(tmp_path: Path) -> None:
    """Killed long after the last save: the rollouts since are on disk, and the buffers are brought to each again."""
    expected = fit(tmp_path, *make(tmp_path))
    (tmp_path / "state.safetensors").unlink()
    model, steps = make(tmp_path)
    environment = steps._rollouts._environment
    failing = [WeightedJudge(one.name, lambda _: 1 / 0, one.weight) for one in environment.rewards]
    steps._rollouts._environment = replace(environment, rewards=failing)
    for name, tensor in fit(tmp_path, model, steps).items():
        assert torch.equal(tensor, expected[name]), name


def test_every_epoch_visits_every_completion_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    _, steps = make(tmp_path)
    assert (steps.per_rollout, len(steps)) == (6, 18)

    def visited(update: int) -> list[tuple[int, ...]]:
        return [
            tuple(batch.forest.tokens[batch.scored][batch.entries[batch.rows == row]].tolist())
            for batch in steps[update]
            for row in range(batch.n_rows)
        ]

    everything = sorted(map(tuple, steps._rollouts[0].answers))
    updates = [visited(update) for update in range(6)]
    for epoch in (updates[:3], updates[3:]):
        assert sorted(answer for update in epoch for answer in update) == everything
    assert sorted(map(sorted, updates[:3])) != sorted(map(sorted, updates[3:]))
    _, again = make(tmp_path / "again")
    assert [b.forest.tokens.tolist() for b in again[4]] == [b.forest.tokens.tolist() for b in steps[4]]


def test_the_old_policy_is_the_one_that_sampled(tmp_path: Path) -> None:
    """The first update sees a ratio of one and old values that are its own, with adapters and dropout too."""
    model, steps = make(tmp_path, kind="network", lora=True)
    batches = steps[0]
    model.eval()
    for batch in batches:
        found = model(batch.forest, batch.scored)
        torch.testing.assert_close(found.logps[batch.entries], batch.columns["old_logps"])
        torch.testing.assert_close(found.values[batch.entries], batch.columns["old_values"])
        torch.testing.assert_close(batch.columns["reference_logps"], batch.columns["old_logps"])


def _first(folder: Path, **changes: object) -> tuple[ActorCritic, PPOSteps, Tensor]:
    """The model and steps of a first rollout whose reference is another model, and its scores."""
    actor, other = tiny_decoder(scale=3), tiny_decoder(1, scale=3)
    model = ActorCritic(actor, make_critic(actor, "head"), kl_coef=0.2)
    sampled = rollouts(folder, actor, columns=rollout_columns(model, ReferencePolicy(other)))
    steps = PPOSteps(model, sampled, Settings(num_ppo_epochs=1, **changes), n_rollouts=2, seed=5)
    steps[0]
    return model, steps, sampled[0].totals.flatten()


def _returns(steps: PPOSteps) -> Tensor:
    """The undiscounted return of each completion: with λ = 1 all that it earned and paid."""
    return torch.stack([returns[0] for returns in steps._targets["returns"]])


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_what_a_completion_earns_is_its_score_less_the_divergence(tmp_path: Path, estimator: str) -> None:
    _, steps, scores = _first(tmp_path, lam=1.0, kl_estimator=estimator)
    columns = steps._rollouts[0].columns
    kl = torch.stack(
        [
            kl_estimate(logps, reference, estimator).sum()
            for logps, reference in zip(columns["old_logps"], columns["reference_logps"], strict=True)
        ]
    )
    torch.testing.assert_close(_returns(steps), scores - 0.2 * kl, rtol=1e-4, atol=1e-4)
    metrics = steps.metrics(0)
    assert metrics["objective/kl"] == pytest.approx(kl.mean().item(), rel=1e-4)
    assert metrics["objective/rlhf_reward"] == pytest.approx((scores - 0.2 * kl).mean().item(), rel=1e-4)
    assert metrics["objective/scores"] == pytest.approx(metrics["reward"], rel=1e-5)


def test_scores_are_scaled_then_clipped_and_cut_answers_pay(tmp_path: Path) -> None:
    model, steps, scores = _first(
        tmp_path, lam=1.0, use_score_scaling=True, use_score_norm=True, score_clip=0.8, missing_eos_penalty=3.0
    )
    model.kl_coef.zero_()
    steps._prepare(steps._rollouts[0])
    finished = steps._rollouts[0].finished
    expected = ((scores - scores.mean()) / scores.std()).clamp(-0.8, 0.8) - 3.0 * (~finished)
    assert 0 < finished.sum() < len(finished)
    torch.testing.assert_close(_returns(steps), expected, rtol=1e-4, atol=1e-4)


def test_advantages_and_rewards_are_whitened_where_asked_for(tmp_path: Path) -> None:
    def advantages(folder: str, **changes: object) -> Tensor:
        return torch.cat(_first(tmp_path / folder, lam=1.0, **changes)[1]._targets["advantages"])

    plain, white = advantages("a", whiten_advantages=False), advantages("b")
    assert white.mean().item() == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(white, (plain - plain.mean()) / plain.std(), rtol=1e-4, atol=1e-4)
    scaled = advantages("c", whiten_advantages=False, whiten_rewards=True)
    assert not torch.allclose(scaled, plain)


class Share:
    """Rewards the share of one token."""

    def __call__(self, answers: Sequence[Answer], /) -> list[float]:
        words = [answer.text.split() for answer in answers]
        return [sum(word == "33" for word in found) / max(1, len(found)) for found in words]


@pytest.mark.parametrize(
    ("kind", "lora"),
    [
        ("head", False),
        pytest.param("network", False, marks=pytest.mark.slow),
        pytest.param("network", True, marks=pytest.mark.slow),
    ],
)
def test_ppo_raises_the_share_of_a_token(tmp_path: Path, kind: CriticKind, lora: bool) -> None:
    # The frozen output layer must have the size to prefer a token.
    actor = tiny_decoder(scale=12 if lora else 1)
    if lora:
        add_lora(actor, LoraConfig(rank=4), seed=0)
    model = ActorCritic(actor, make_critic(actor, kind), kl_coef=0.01)
    sampled = Rollouts(
        actor, Environment(Words(), TASKS, PROMPTS, [WeightedJudge("share", Share())]),
        RolloutConfig(sampling=Sampling(max_new_tokens=6), prompts=4, num_generations=8),
        Run(tmp_path, 1, "run"), columns=rollout_columns(model, ReferencePolicy(actor)),
    )  # fmt: skip
    settings = Settings(num_ppo_epochs=4, num_mini_batches=1)
    steps = PPOSteps(model, sampled, settings, n_rollouts=24 if lora else 12, seed=1)
    config = TrainingConfig(learning_rate=1e-2, schedule="constant")
    train(
        model, PPO(), steps, config, folder=tmp_path, seed=1, identity="run", step_metrics=steps.metrics,
        outputs=lambda batch: model(batch.forest, batch.scored),
    )  # fmt: skip
    scores = [event["objective/scores"] for event in read_events(tmp_path)][:: steps.per_rollout]
    assert scores[0] < 0.1
    assert sum(scores[-3:]) / 3 > 0.4
