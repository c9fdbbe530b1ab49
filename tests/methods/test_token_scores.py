"""Scores of single tokens: what judges say of them reaches PPO's rewards and GRPO's advantages where it was said."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from test_rollouts import rollouts
from torch import Tensor

from burnish.datasets.rollout import Rollout
from burnish.generation.answer import Answer
from burnish.methods import grpo, ppo
from burnish.methods.ppo_steps import PPOSteps, rollout_columns
from burnish.nn.actor_critic import ActorCritic, ReferencePolicy, make_critic
from burnish.objectives.grpo import GRPO, group_advantages, step_advantages
from burnish.objectives.objective import measure
from burnish.rewards.judgement import Judgement, WeightedJudge
from burnish.rewards.sampled_groups import token_scores
from tiny_models import tiny_decoder


def steps(answers: Sequence[Answer]) -> list[Judgement]:
    """Steps of two tokens, the last of which has the score."""
    found = []
    for answer in answers:
        ends = [place % 2 == 1 or place == len(answer.tokens) - 1 for place in range(len(answer.tokens))]
        scores = [token % 5 / 4 if end else None for token, end in zip(answer.tokens, ends, strict=True)]
        found.append(Judgement(min(score for score in scores if score is not None), token_scores=scores))
    return found


def test_the_column_is_the_weighted_sum_of_what_tokens_scored() -> None:
    rewards = [WeightedJudge(name, steps, weight) for name, weight in (("a", 2.0), ("whole", 3.0), ("b", 0.5))]
    judged = [
        [Judgement(1.0, token_scores=[None, 1.0, 0.25]), Judgement(9.0), None],
        [Judgement(7.0), Judgement(8.0), Judgement(9.0)],
        [Judgement(1.0, token_scores=[1.0, 2.0, None]), Judgement(4.0, token_scores=[4.0, None]), None],
    ]
    columns, by_token = token_scores(rewards, judged, [3, 2, 1])
    nan = math.nan
    # The first judge scores the second answer as a whole: at its last token, as it does the first answer's.
    expected = [[0.5, 3.0, 0.5], [2.0, 18.0], [nan]]
    for found, values in zip(columns["token_scores"], expected, strict=True):
        torch.testing.assert_close(found, torch.tensor(values), equal_nan=True)
    assert by_token is not None
    assert by_token.tolist() == [[True] * 3, [False] * 3, [True] * 3]
    assert token_scores(rewards[1:2], judged[1:2], [3, 2, 1]) == ({}, None)


def test_a_rollout_keeps_them_beside_the_outcomes(tmp_path: Path) -> None:
    sampled = rollouts(tmp_path, tiny_decoder(scale=3), function=steps, dynamic_sampling=2)
    rollout = sampled[0]
    lengths = torch.tensor([len(answer) for answer in rollout.answers])
    whole = 0.5 * rollout.rewards[1]
    torch.testing.assert_close(rollout.outcomes.flatten(), whole)
    torch.testing.assert_close(rollout.totals.flatten(), whole + 2.0 * rollout.rewards[0])
    earned = []
    for answer, scores, outcome in zip(rollout.answers, rollout.columns["token_scores"], whole.tolist(), strict=True):
        (said,) = steps([Answer([], "", tokens=answer)])
        assert said.token_scores is not None
        expected = torch.tensor([math.nan if score is None else 2.0 * score for score in said.token_scores])
        torch.testing.assert_close(scores, expected, equal_nan=True)
        earned.append(outcome + sum(2.0 * score for score in said.token_scores if score is not None))
    torch.testing.assert_close(rollout.earned.flatten(), torch.tensor(earned))
    assert lengths.tolist() == [len(scores) for scores in rollout.columns["token_scores"]]
    again = rollouts(tmp_path, tiny_decoder(1), function=steps, dynamic_sampling=2)[0]
    assert again.by_token is not None
    assert torch.equal(again.by_token, rollout.by_token)
    assert again.columns.keys() == rollout.columns.keys()
    assert torch.equal(again.outcomes, rollout.outcomes)


def test_groups_of_rollouts_with_and_without_them_are_put_together(tmp_path: Path) -> None:
    plain, scored = (rollouts(tmp_path / str(f), tiny_decoder(scale=3), **f)[0] for f in ({}, {"function": steps}))
    both = plain + scored
    assert both.by_token is not None
    assert both.by_token[:, :12].any().item() is False
    torch.testing.assert_close(both.outcomes, torch.cat([plain.totals, scored.outcomes]))
    assert all(scores.isnan().all() for scores in both.columns["token_scores"][:12])
    taken = both.take(range(3, 6))
    assert taken.answers == scored.answers
    assert torch.equal(taken.outcomes, scored.outcomes)
    # Tokens tell the answers of a group apart, also where the numbers that sum them up do not.
    level = replace(scored, rewards=torch.zeros_like(scored.rewards))
    assert level.varies.all()


def _ppo(folder: Path, **changes: Any) -> tuple[PPOSteps, Rollout]:
    actor, other = tiny_decoder(scale=3), tiny_decoder(1, scale=3)
    model = ActorCritic(actor, make_critic(actor, "head"), kl_coef=0.2)
    torch.nn.init.normal_(model.critic.score, std=0.3)
    sampled = rollouts(folder, actor, function=steps, columns=rollout_columns(model, ReferencePolicy(other)))
    updates = PPOSteps(model, sampled, ppo.Settings(num_ppo_epochs=1, **changes), n_rollouts=1, seed=5)
    updates[0]
    return updates, sampled[0]


def test_ppo_earns_them_at_their_tokens(tmp_path: Path) -> None:
    """GAE written out token by token (Schulman 2016, eq. 11-16), backwards through each answer."""
    gamma, lam = 0.9, 0.8
    updates, rollout = _ppo(tmp_path, gamma=gamma, lam=lam, whiten_advantages=False)
    columns = rollout.columns
    for number, answer in enumerate(rollout.answers):
        kl = columns["old_logps"][number] - columns["reference_logps"][number]
        rewards = -0.2 * kl + columns["token_scores"][number].nan_to_num()
        rewards[-1] += rollout.outcomes.flatten()[number]
        values = [*columns["old_values"][number].tolist(), 0.0]
        running, expected = 0.0, [0.0] * len(answer)
        for place in reversed(range(len(answer))):
            delta = rewards[place].item() + gamma * values[place + 1] - values[place]
            running = expected[place] = delta + gamma * lam * running
        torch.testing.assert_close(updates._targets["advantages"][number], torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert updates.metrics(0)["objective/scores"] == pytest.approx(rollout.earned.mean().item(), rel=1e-4)


def test_ppo_scales_and_clips_them_as_scores(tmp_path: Path) -> None:
    updates, rollout = _ppo(
        tmp_path, lam=1.0, kl_coef=0.0, use_score_scaling=True, score_clip=0.3, whiten_advantages=False
    )
    updates._model.kl_coef.zero_()
    updates._prepare(rollout)
    deviation = rollout.earned.std().item()
    for number, scores in enumerate(rollout.columns["token_scores"]):
        clipped = (scores.nan_to_num() / deviation).clamp(-0.3, 0.3)
        clipped[-1] += max(-0.3, min(0.3, rollout.outcomes.flatten()[number].item() / deviation))
        expected = clipped.flip(0).cumsum(0).flip(0)
        torch.testing.assert_close(updates._targets["returns"][number], expected, rtol=1e-4, atol=1e-4)


def _naive(groups: Sequence[Sequence[Tensor]], scale: str = "group", baseline: str = "mean") -> list[list[float]]:
    """Section 4.1.3 with loops: R of a group, each step normalised, and for each token the sum of all from it on."""
    everything = [score for group in groups for answer in group for score in answer.tolist() if not math.isnan(score)]
    found = []
    for group in groups:
        known = [score for answer in group for score in answer.tolist() if not math.isnan(score)]
        mean = sum(known) / len(known)
        spread = {"group": known, "batch": everything, "none": None}[scale]
        deviation = 1.0 if spread is None else torch.tensor(spread).std().item() + 1e-4
        factor = len(known) / (len(known) - 1) if baseline == "leave_one_out" else 1.0
        for answer in group:
            scores = answer.tolist()
            later = [
                [(one - mean) * factor / deviation for one in scores[place:] if not math.isnan(one)]
                for place in range(len(scores))
            ]
            found.append([sum(values) for values in later])
    return found


@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_steps_count_for_the_tokens_before_them(
    scale: Literal["group", "batch", "none"], baseline: Literal["mean", "leave_one_out"]
) -> None:
    nan = math.nan
    groups = [
        [torch.tensor([nan, 0.9, nan, 0.1]), torch.tensor([0.4]), torch.tensor([nan, nan, 0.7])],
        [torch.tensor([0.2, 0.3]), torch.tensor([nan, nan]), torch.tensor([nan, -1.0])],
    ]
    found = step_advantages([answer for group in groups for answer in group], 3, scale, baseline=baseline)
    for one, expected in zip(found, _naive(groups, scale, baseline), strict=True):
        torch.testing.assert_close(one, torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scores", [[[0.5, math.nan], [0.5, 0.5]], [[0.3, math.nan], [math.nan] * 2], [[math.nan]] * 2])
def test_steps_that_all_scored_the_same_teach_exactly_nothing(scores: list[list[float]]) -> None:
    answers = [torch.tensor(values) for values in scores]
    assert all(not values.any() for values in step_advantages(answers, 2))


def test_grpo_adds_them_to_the_advantages_of_outcomes(tmp_path: Path) -> None:
    rollout = rollouts(tmp_path, tiny_decoder(scale=3), function=steps)[0]
    settings = grpo.Settings(num_generations=4, training={"batch_size": 3, "micro_batch_tokens": 60})
    batches = grpo.updates(rollout, 0, settings)
    of_outcomes = group_advantages(rollout.outcomes).flatten()
    of_steps = _naive(rollout.groups(rollout.columns["token_scores"]))
    total = 0.0
    for number, answer in enumerate(rollout.answers):
        total -= sum(of_outcomes[number].item() + of_steps[number][place] for place in range(len(answer)))
    # With a ratio of one the loss of a token is its advantage, negated, and the step's is their mean.
    found = measure(GRPO(), [(batch, torch.zeros(len(batch.scored))) for batch in batches])
    assert found["loss"] == pytest.approx(total / sum(map(len, rollout.answers)), rel=1e-4, abs=1e-5)
    assert max(map(abs, (value for values in of_steps for value in values))) > 0.1
    # Answers that earned the same as a whole are learned from by their steps.
    level = replace(rollout, rewards=torch.zeros_like(rollout.rewards))
    assert sum(batch.n_rows for batch in grpo.updates(level, 0, settings)) == 12
