"""The bootstrap and the permutation test: coverage, reproducibility and the gain of pairing."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.evaluation import (
    bootstrap_interval,
    paired_bootstrap_interval,
    paired_permutation_test,
    perplexity_change_interval,
)


def test_an_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    """95 % intervals of 100 coin flips contain the coin's bias in about 95 of 100 experiments."""
    generator = np.random.default_rng(7)
    experiments = 400
    covered = 0
    for experiment in range(experiments):
        low, high = bootstrap_interval(generator.random(100) < 0.6, resamples=400, seed=experiment)
        covered += low <= 0.6 <= high
    # Three standard deviations of a binomial around 0.95; the percentile bootstrap is slightly optimistic.
    assert 0.90 <= covered / experiments <= 0.985


def test_it_agrees_with_the_normal_interval_on_many_scores() -> None:
    scores = np.random.default_rng(0).normal(3.0, 2.0, size=2_000)
    low, high = bootstrap_interval(scores, seed=1)
    half = 1.96 * scores.std() / np.sqrt(len(scores))
    assert low == pytest.approx(scores.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(scores.mean() + half, abs=0.1 * half)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_it_stays_within_the_scores_and_repeats_with_its_seed(values: list[float], seed: int) -> None:
    low, high = bootstrap_interval(values, resamples=50, seed=seed)
    assert (low, high) == bootstrap_interval(values, resamples=50, seed=seed)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= low <= high <= max(values) + slack


def test_the_result_does_not_depend_on_how_draws_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).random(50)
    whole = bootstrap_interval(values, resamples=300, seed=5)
    monkeypatch.setattr("burnish.evaluation.statistics.DRAWS_AT_ONCE", 700)
    assert bootstrap_interval(values, resamples=300, seed=5) == whole


def test_pairing_sees_a_difference_that_separate_intervals_hide() -> None:
    generator = np.random.default_rng(11)
    before = generator.random(300) < 0.5
    after = before | (generator.random(300) < 0.1)
    low, high = paired_bootstrap_interval(before, after, seed=1)
    assert 0 < low <= after.mean() - before.mean() <= high
    assert bootstrap_interval(before, seed=1)[1] > bootstrap_interval(after, seed=1)[0]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "at least one number"),
        ([[1.0, 2.0]], {}, "flat sequence"),
        ([1.0, float("nan")], {}, "finite, got nan"),
        ([1.0], {"level": 1.0}, "got 1.0"),
        ([1.0], {"resamples": 0}, "got 0"),
    ],
)
def test_wrong_arguments_are_named(values: list[float], options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, seed=1, **options)  # type: ignore[arg-type]


def test_unpaired_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        paired_bootstrap_interval([1.0], [1.0, 0.0], seed=1)


def test_a_change_of_perplexity_is_told_from_chance() -> None:
    """A model that is 5 % less surprised by every text differs clearly; one that is so by half of them does not."""
    generator = np.random.default_rng(5)
    before = [(float(tokens * generator.normal(3.0, 1.0)), int(tokens)) for tokens in generator.integers(50, 500, 40)]
    better = [(nats - 0.05 * tokens + generator.normal(0, 1), tokens) for nats, tokens in before]
    interval = perplexity_change_interval(before, better, seed=1)
    assert interval is not None
    assert -0.06 < interval[0] < np.exp(-0.05) - 1 < interval[1] < -0.04
    undecided = [(nats + (0.05 if i % 2 else -0.05) * tokens, tokens) for i, (nats, tokens) in enumerate(before)]
    interval = perplexity_change_interval(before, undecided, seed=1)
    assert interval is not None
    assert interval[0] < 0 < interval[1]
    assert interval == perplexity_change_interval(before, undecided, seed=1)


def test_a_change_of_perplexity_weighs_tokens_equally() -> None:
    texts = [(1.0 * tokens, tokens) for tokens in (1, 1, 1, 1, 996)]
    after = [*((2.0, 1) for _ in range(4)), (996.0, 996)]
    interval = perplexity_change_interval(texts, after, seed=1)
    assert interval is not None
    assert interval[0] == pytest.approx(0, abs=0.02)


def test_an_interval_of_an_unbiased_change_covers_it() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for experiment in range(200):
        before = [(300.0, 100)] * 30
        after = [(300.0 + generator.normal(0, 5), 100) for _ in range(30)]
        low, high = perplexity_change_interval(before, after, resamples=300, seed=experiment) or (0.0, 0.0)
        covered += low <= 0 <= high
    assert covered >= 176


def test_of_few_texts_or_other_texts_there_is_no_interval() -> None:
    texts = [(30.0, 10)] * 4 + [(0.0, 0)] * 9
    assert perplexity_change_interval(texts, texts, seed=1) is None
    with pytest.raises(ValueError, match="did not score the same texts"):
        perplexity_change_interval([(1.0, 2)], [(1.0, 3)], seed=1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_permutation_test_counts_swaps_of_the_two_models(scores: list[tuple[int, int]]) -> None:
    before, after = zip(*scores, strict=True)
    observed = abs(sum(after) - sum(before))
    swapped = [abs(sum(d if keep else -d for d, keep in zip(np.subtract(after, before), keeps, strict=True)))
               for keeps in product([True, False], repeat=len(scores))]  # fmt: skip
    exact = sum(one >= observed for one in swapped) / len(swapped)
    assert paired_permutation_test(before, after, seed=0) == pytest.approx(exact)
    assert paired_permutation_test(after, before, seed=0) == pytest.approx(exact)


def test_drawn_permutations_come_near_to_all_of_them_and_repeat_with_their_seed() -> None:
    generator = np.random.default_rng(2)
    before, after = generator.random(12), generator.random(12) + 0.15
    exact = paired_permutation_test(before, after, seed=0)
    drawn = paired_permutation_test(before, after, permutations=4_000, seed=1)
    assert drawn == paired_permutation_test(before, after, permutations=4_000, seed=1)
    assert drawn == pytest.approx(exact, abs=0.03)


def test_of_equal_models_a_twentieth_of_the_differences_is_significant() -> None:
    generator = np.random.default_rng(5)
    found = [
        paired_permutation_test(generator.random(60) < 0.5, generator.random(60) < 0.5, permutations=200, seed=seed)
        for seed in range(200)
    ]
    assert 0.005 <= np.mean(np.array(found) <= 0.05) <= 0.11
    assert paired_permutation_test([0.0, 1.0], [0.0, 1.0], seed=0) == 1.0
