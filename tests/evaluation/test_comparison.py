"""What is said of compared models: means, wins and divergences against what they are by definition."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.evaluation.comparison import (
    answer_divergences,
    implicit_rewards,
    length_correlation,
    measured,
    pairs_ranked_right,
    training_cost,
    wins,
)

numbers = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)


def test_the_interval_resamples_prompts_not_answers() -> None:
    """Four answers to each of two prompts say no more about other prompts than one each."""
    alone = measured([1.0, 5.0], seed=1)
    repeated = measured([1.0] * 4 + [5.0] * 4, n=4, seed=1)
    assert repeated == alone
    assert repeated.count == 2
    assert measured([0.0, 2.0, 4.0, 6.0], n=2, seed=1).value == 3.0


@given(numbers, st.data())
def test_a_win_of_one_is_a_loss_of_the_other(scores: list[float], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.sampled_from([*scores, 0.0]), min_size=len(scores), max_size=len(scores)))
    forth, back = wins(scores, others), wins(others, scores)
    assert [one + other for one, other in zip(forth, back, strict=True)] == [1.0] * len(scores)
    for one, other, win in zip(scores, others, forth, strict=True):
        assert win == (1.0 if one > other else 0.0 if one < other else 0.5)


def test_pairs_are_ranked_right_where_the_chosen_scores_higher() -> None:
    found = pairs_ranked_right([1.0, 2.0, 0.0, 5.0], [0.0, 2.0, 1.0, 4.0], seed=1)
    assert found.value == (1 + 0.5 + 0 + 1) / 4
    assert found.count == 4


def test_divergences_are_unbiased_for_whole_answers() -> None:
    """Answers of two tokens from a known policy: weighted by probability, both estimators give the exact KL."""
    policy = torch.tensor([0.7, 0.2, 0.1]).log()
    reference = torch.tensor([0.3, 0.3, 0.4]).log()
    answers = [(a, b) for a in range(3) for b in range(3)]
    own = [torch.stack([policy[a], policy[b]]) for a, b in answers]
    other = [torch.stack([reference[a], reference[b]]) for a, b in answers]
    weights = [logps.sum().exp().item() for logps in own]
    exact = 2 * (policy.exp() * (policy - reference)).sum().item()
    for estimator in ("k1", "k3"):
        found = answer_divergences(own, other, estimator)  # type: ignore[arg-type]
        assert sum(w * one for w, one in zip(weights, found, strict=True)) == pytest.approx(exact, rel=1e-5)
    assert min(answer_divergences(own, other, "k3")) >= 0
    assert min(answer_divergences(own, other, "k1")) < 0


def test_the_implicit_reward_is_the_log_ratio_of_the_whole_answer() -> None:
    own = [torch.tensor([-1.0, -2.0]), torch.tensor([-0.5])]
    reference = [torch.tensor([-1.5, -2.5]), torch.tensor([-0.25])]
    assert implicit_rewards(own, reference) == [1.0, -0.25]
    assert implicit_rewards(own, reference, per_token=True) == [0.5, -0.25]


def test_a_score_that_falls_with_length_shows() -> None:
    chosen, rejected = [3.0, 1.0, 2.0], [2.0, 2.0, 2.0]
    assert length_correlation(chosen, rejected, [-5, 5, 0]) == pytest.approx(-1)
    assert length_correlation(chosen, rejected, [0, 0, 0]) == 0, "no answer is longer"
    assert length_correlation([1.0], [0.0], [-1]) == 0, "one pair"


def test_the_cost_is_that_of_all_stages() -> None:
    records = [
        {"name": "sft", "type": "sft", "wall_seconds": 60.0, "peak_rss_gib": 4.0, "metrics": {}},
        {"name": "ppo", "type": "ppo", "wall_seconds": 30.5, "peak_rss_gib": 3.0},
    ]
    cost = training_cost(records)
    assert cost["seconds"] == 90.5
    assert cost["peak_rss_gib"] == 4.0
    assert cost["stages"][-1] == {"name": "ppo", "type": "ppo", "seconds": 30.5, "peak_rss_gib": 3.0}
    assert training_cost([]) == {}
    assert math.isfinite(cost["seconds"])
