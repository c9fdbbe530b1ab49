"""Calibration by cases that can be counted by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.evaluation.calibration import calibration


def margin_of(confidence: float) -> float:
    """The margin whose sigmoid it is."""
    return math.log(confidence / (1 - confidence))


def test_four_of_five_right_at_80_percent_is_calibrated() -> None:
    found = calibration([margin_of(0.8)] * 4 + [-margin_of(0.8)])
    assert found.error == pytest.approx(0)
    (only,) = found.bins
    assert (only.pairs, only.accuracy) == (5, 0.8)
    assert only.confidence == pytest.approx(0.8)


def test_the_error_is_the_mean_gap_weighted_by_pairs() -> None:
    """Three pairs at 0.62, one of them right; one at 0.97, right: (3 · |1/3 - 0.62| + |1 - 0.97|) / 4."""
    found = calibration([margin_of(0.62), -margin_of(0.62), -margin_of(0.62), margin_of(0.97)])
    assert [(one.low, one.high, one.pairs) for one in found.bins] == [(0.6, 0.65, 3), (0.95, 1.0, 1)]
    assert found.error == pytest.approx((3 * (0.62 - 1 / 3) + 0.03) / 4)
    assert found.as_json()["bins"][0]["accuracy"] == pytest.approx(1 / 3)


def test_margins_at_the_edges() -> None:
    undecided = calibration([0.0, 0.0])
    assert [(one.low, one.pairs, one.accuracy) for one in undecided.bins] == [(0.5, 2, 0.5)]
    assert undecided.error == 0
    certain = calibration([1000.0, -1000.0])
    assert [(one.high, one.pairs, one.confidence, one.accuracy) for one in certain.bins] == [(1.0, 2, 1.0, 0.5)]
    assert certain.error == 0.5


@given(st.lists(st.floats(-50, 50), min_size=1), st.integers(1, 20))
def test_every_pair_is_in_one_bin_and_the_error_is_a_share(margins: list[float], n_bins: int) -> None:
    found = calibration(margins, n_bins=n_bins)
    assert sum(one.pairs for one in found.bins) == len(margins)
    assert 0 <= found.error <= 1
    assert all(one.low - 1e-6 <= one.confidence <= one.high + 1e-6 for one in found.bins)


@pytest.mark.parametrize("margins", [[], [float("nan")], [[1.0]]])
def test_what_cannot_be_calibrated(margins: list[float]) -> None:
    with pytest.raises(ValueError, match="flat sequence of at least one finite number"):
        calibration(margins)
