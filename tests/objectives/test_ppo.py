"""PPO's parts equal their papers' formulas, and an update its padded textbook version, in value and gradient."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from naive import step_of
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.nn.actor_critic import ActorCritic, ActorCriticOutputs
from burnish.nn.scalar import ScalarModel
from burnish.objectives.ppo import (
    PPO,
    adapted_kl_coef,
    penalized_rewards,
    policy_losses,
    scaled_scores,
    updated_moments,
    value_losses,
)
from tiny_models import tiny_decoder

PROMPTS = [list(range(20)), list(range(20)), [5, 6, 7]]
ANSWERS = [[30, 31, 32], [33, 34], [40, 41, 42, 43, 2]]
LENGTHS = [len(answer) for answer in ANSWERS]
SETTINGS = PPO(cliprange=0.2, cliprange_value=0.3, vf_coef=0.7, entropy_coef=0.05)


def _columns() -> dict[str, Tensor]:
    """Made-up figures of a rollout; old log-probabilities are set by the test."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(sum(LENGTHS), generator=generator)
        for name in ("advantages", "returns", "old_values", "noise")
    }


def _batches(columns: dict[str, Tensor], groups: list[list[int]]) -> list[Batch]:
    parts = {name: column.split(LENGTHS) for name, column in columns.items()}
    return [
        Batch.from_rows(
            [PROMPTS[row] + ANSWERS[row] for row in group],
            [[False] * len(PROMPTS[row]) + [True] * len(ANSWERS[row]) for row in group],
            columns={name: torch.cat([rows[row] for row in group]) for name, rows in parts.items()},
        )
        for group in groups
    ]


def _padded(flat: Tensor) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(flat.split(LENGTHS)), batch_first=True, padding_value=17.0)


def _textbook(model: ActorCritic, columns: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """The loss over padded rows and a mask, from a plain forward pass of each sequence."""
    (batch,) = _batches(columns, [[0, 1, 2]])
    out = [model(one.forest, one.scored, entropies=True) for row in range(3) for one in _batches(columns, [[row]])]
    logps, values, entropies = (_padded(torch.cat(parts)) for parts in zip(*out, strict=True))
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    old_logps, old_values, advantages, returns = (
        _padded(batch.columns[name]) for name in ("old_logps", "old_values", "advantages", "returns")
    )

    def mean(matrix: Tensor) -> Tensor:
        return torch.where(mask, matrix, 0.0).sum() / mask.sum()

    ratio = torch.exp(logps - old_logps)
    surrogate = torch.min(ratio * advantages, torch.clip(ratio, 0.8, 1.2) * advantages)
    low, high = old_values - 0.3, old_values + 0.3
    clipped = torch.where(values < low, low, torch.where(values > high, high, values))
    squares = torch.max((values - returns) ** 2, (clipped - returns) ** 2)
    loss = -mean(surrogate) + 0.7 * 0.5 * mean(squares) - 0.05 * mean(entropies)
    metrics = {
        "loss/policy_avg": -mean(surrogate),
        "loss/value_avg": 0.5 * mean(squares),
        "policy/entropy_avg": mean(entropies),
        "policy/approxkl_avg": 0.5 * mean((logps - old_logps) ** 2),
        "policy/clipfrac_avg": mean((surrogate < ratio * advantages).float()),
        "val/clipfrac_avg": mean((squares > (values - returns) ** 2).float()),
        "val/ratio": mean(ratio),
    }
    return loss, {name: value.item() for name, value in metrics.items()}


@pytest.mark.parametrize("groups", [[[0, 1, 2]], [[1], [2, 0]]])
@pytest.mark.parametrize("kind", ["head", "network"])
def test_an_update_equals_the_padded_textbook_version(kind: str, groups: list[list[int]]) -> None:
    actor = tiny_decoder(0, 5)
    critic = ScalarModel(actor if kind == "head" else tiny_decoder(1, 5), seed=3)
    model = ActorCritic(actor, critic, kl_coef=0.1)
    (whole,) = _batches(_columns(), [[0, 1, 2]])
    with torch.no_grad():
        logps = model(whole.forest, whole.scored).logps[whole.entries]
    columns = {**_columns(), "old_logps": logps + 0.3 * _columns()["noise"]}
    found, found_metrics = step_of(
        actor,
        SETTINGS,
        _batches(columns, groups),
        lambda batch: model(batch.forest, batch.scored, entropies=True),
    )
    expected, metrics = _textbook(model, columns)
    torch.testing.assert_close(found, expected)
    parameters = list(model.parameters())
    for a, b in zip(torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 1e-6
    assert 0 < metrics["policy/clipfrac_avg"] < 1
    assert 0 < metrics["val/clipfrac_avg"] < 1
    assert found_metrics == pytest.approx(metrics, rel=1e-4)


def test_the_first_update_is_the_policy_gradient() -> None:
    """At the sampling policy the ratio is one: the gradient is that of -A log π (Schulman 2017, section 2.1)."""
    logps = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = torch.tensor([0.5, -2.0, 1.0])
    losses, clipped = policy_losses(logps, logps.detach(), advantages, cliprange=0.2)
    (gradient,) = torch.autograd.grad(losses.sum(), [logps])
    assert torch.equal(gradient, -advantages)
    assert not clipped.any()


@given(st.floats(-3, 3), st.floats(-2, 2), st.floats(0.05, 0.5))
def test_beyond_the_range_nothing_is_gained(log_ratio: float, advantage: float, cliprange: float) -> None:
    ratio = math.exp(log_ratio)
    # Not where rounding decides: at the border, and where an advantage vanishes in a product.
    assume(min(abs(ratio - 1 - cliprange), abs(ratio - 1 + cliprange)) > 1e-9)
    assume(advantage == 0 or abs(advantage) > 1e-9)
    logps = torch.tensor([log_ratio], dtype=torch.float64, requires_grad=True)
    losses, clipped = policy_losses(
        logps, torch.zeros(1), torch.tensor([advantage], dtype=torch.float64), cliprange=cliprange
    )
    outside = (ratio > 1 + cliprange and advantage > 0) or (ratio < 1 - cliprange and advantage < 0)
    (gradient,) = torch.autograd.grad(losses.sum(), [logps])
    assert clipped.item() == outside
    assert (gradient.item() == 0) == (outside or advantage == 0)
    assert losses.item() == pytest.approx(
        -min(ratio * advantage, min(max(ratio, 1 - cliprange), 1 + cliprange) * advantage)
    )


def test_values_may_be_left_unclipped() -> None:
    values, returns = torch.tensor([3.0, -1.0]), torch.tensor([1.0, 1.0])
    losses, clipped = value_losses(values, torch.zeros(2), returns, cliprange=None)
    assert losses.tolist() == [2.0, 2.0]
    assert not clipped.any()


def test_scores_come_at_the_last_token_and_the_penalty_at_every_one() -> None:
    rows = torch.tensor([0, 0, 0, 1, 2, 2])
    kl = torch.tensor([1.0, 2.0, -1.0, 4.0, 0.0, 3.0])
    found = penalized_rewards(torch.tensor([10.0, 20.0, 30.0]), kl, rows, kl_coef=0.5)
    assert found.tolist() == [-0.5, -1.0, 10.5, 18.0, 0.0, 28.5]


@pytest.mark.parametrize(
    ("kl", "factor"), [(6.0, 1.0), (6.6, 1.01), (60.0, 1.02), (5.4, 0.99), (0.0, 0.98), (-3.0, 0.98)]
)
def test_the_coefficient_follows_the_divergence(kl: float, factor: float) -> None:
    assert adapted_kl_coef(0.2, kl, target=6.0, gain=0.1) == pytest.approx(0.2 * factor)


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=6), min_size=1, max_size=5))
def test_moments_are_those_of_all_scores_seen(rollouts: list[list[float]]) -> None:
    moments = torch.zeros(3, dtype=torch.float64)
    for scores in rollouts:
        moments = updated_moments(moments, torch.tensor(scores))
    seen = torch.cat([torch.tensor(scores) for scores in rollouts]).double()
    expected = torch.stack([torch.tensor(len(seen)).double(), seen.mean(), (seen - seen.mean()).square().sum()])
    torch.testing.assert_close(moments, expected, rtol=1e-6, atol=1e-6)


def test_scaled_scores_have_deviation_one_over_all_rollouts() -> None:
    first, second = torch.tensor([1.0, 5.0]), torch.tensor([3.0, 9.0, 7.0])
    moments = updated_moments(updated_moments(torch.zeros(3, dtype=torch.float64), first), second)
    seen = torch.cat([first, second])
    assert scaled_scores(seen, moments, shift_mean=False).std().item() == pytest.approx(1)
    torch.testing.assert_close(scaled_scores(seen, moments, shift_mean=True), (seen - 5) / seen.std())


@pytest.mark.parametrize("scores", [[4.0], [4.0, 4.0]])
def test_equal_scores_are_not_divided_by_nothing(scores: list[float]) -> None:
    moments = updated_moments(torch.zeros(3, dtype=torch.float64), torch.tensor(scores))
    assert scaled_scores(torch.tensor(scores), moments, shift_mean=False).tolist() == scores
    assert scaled_scores(torch.tensor(scores), moments, shift_mean=True).tolist() == [0.0] * len(scores)


def test_no_entropies_no_bonus() -> None:
    (batch,) = _batches({**_columns(), "old_logps": _columns()["noise"]}, [[0, 1, 2]])
    outputs = ActorCriticOutputs(torch.zeros(len(batch.scored)), torch.zeros(len(batch.scored)), None)
    assert "policy/entropy_avg" not in SETTINGS(outputs, batch)[1]
