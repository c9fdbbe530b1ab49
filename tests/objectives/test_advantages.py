"""Advantages equal the recursion and the sum that their papers write, over rows of any length."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from burnish.objectives.advantages import generalized_advantages, whitened

NUMBER = st.floats(-10, 10, width=32)
ROW = st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=9)
ROWS = st.lists(ROW, min_size=1, max_size=6)
SHARE = st.sampled_from([0.0, 0.3, 0.95, 1.0])


def _flat(rows: list[list[tuple[float, float]]]) -> tuple[Tensor, Tensor, Tensor]:
    rewards, values = torch.tensor([entry for row in rows for entry in row], dtype=torch.float64).unbind(1)
    return rewards, values, torch.repeat_interleave(torch.tensor([len(row) for row in rows]))


@given(ROWS, SHARE, SHARE)
def test_advantages_are_the_weighted_sum_of_temporal_differences(
    rows: list[list[tuple[float, float]]], gamma: float, lam: float
) -> None:
    expected = []
    for row in rows:
        values = [value for _, value in row] + [0.0]
        deltas = [reward + gamma * values[t + 1] - values[t] for t, (reward, _) in enumerate(row)]
        expected += [
            sum((gamma * lam) ** k * deltas[t + k] for k in range(len(row) - t)) for t in range(len(row))
        ]  # fmt: skip
    rewards, values, numbers = _flat(rows)
    found = generalized_advantages(rewards, values, numbers, gamma=gamma, lam=lam)
    torch.testing.assert_close(found.advantages, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(found.returns, found.advantages + values)


@given(ROWS, SHARE)
def test_with_lambda_one_the_returns_are_discounted_sums_of_rewards(
    rows: list[list[tuple[float, float]]], gamma: float
) -> None:
    rewards, values, numbers = _flat(rows)
    found = generalized_advantages(rewards, values, numbers, gamma=gamma, lam=1.0)
    expected = [
        sum(gamma**k * reward for k, (reward, _) in enumerate(row[t:])) for row in rows for t in range(len(row))
    ]  # fmt: skip
    torch.testing.assert_close(found.returns, torch.tensor(expected, dtype=torch.float64))


def test_rows_may_be_numbered_with_gaps_and_there_may_be_none() -> None:
    rewards, values = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.5, 0.0, 1.0])
    found = generalized_advantages(rewards, values, torch.tensor([3, 3, 7]), gamma=0.5, lam=1.0)
    assert found.advantages.tolist() == [1.5, 2.0, 3.0]
    empty = generalized_advantages(rewards[:0], values[:0], torch.empty(0, dtype=torch.int64), gamma=1, lam=1)
    assert len(empty.advantages) == len(empty.returns) == 0


def test_no_gradient_flows_through_the_targets() -> None:
    values = torch.randn(3, requires_grad=True)
    found = generalized_advantages(torch.ones(3), values, torch.zeros(3, dtype=torch.int64), gamma=1, lam=0.9)
    assert not found.advantages.requires_grad
    assert not found.returns.requires_grad


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitened_values_have_deviation_one(shift_mean: bool) -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 7 + 3
    found = whitened(values, shift_mean=shift_mean)
    assert found.std().item() == pytest.approx(1, rel=1e-5)
    assert found.mean().item() == pytest.approx(0 if shift_mean else values.mean().item(), abs=1e-5)
    torch.testing.assert_close(found - found.mean(), (values - values.mean()) / values.std())


@pytest.mark.parametrize("values", [[2.0], [3.0, 3.0, 3.0]])
def test_equal_values_are_whitened_to_zero(values: list[float]) -> None:
    assert whitened(torch.tensor(values)).tolist() == [0.0] * len(values)
    assert whitened(torch.tensor(values), shift_mean=False).tolist() == values
