"""Better and worse are said only where an interval excludes no change, of enough questions, and not against p."""

import math
from typing import Any

import pytest

from burnish.evaluation.statistics import paired_bootstrap_interval, paired_permutation_test
from burnish.report.evaluations import Gain
from burnish.report.verdicts import verdict


@pytest.mark.parametrize(
    ("interval", "more", "said"),
    [
        ((0.01, 0.2), {}, "better"),
        ((-0.2, -0.01), {}, "worse"),
        ((0.0, 0.2), {}, "no clear difference"),
        ((-0.2, 0.0), {}, "no clear difference"),
        ((0.01, 0.2), {"lower_is_better": True}, "worse"),
        ((-0.2, -0.01), {"lower_is_better": True}, "better"),
        ((math.nan, math.nan), {}, "no clear difference"),
        ((math.nan, math.nan), {"lower_is_better": True}, "no clear difference"),
        ((1.0, 1.0), {"count": 4}, "too little to tell"),
        (None, {"count": 400}, "too little to tell"),
        ((0.01, 0.2), {"p": 0.05}, "better"),
        ((0.01, 0.2), {"p": 0.06}, "no clear difference"),
    ],
)
def test_verdicts(interval: tuple[float, float] | None, more: dict[str, Any], said: str) -> None:
    assert verdict(interval, **more) == said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([0], [1], "too little to tell"),  # one question, learned: its interval is 1 to 1
        ([0] * 4, [1] * 4, "too little to tell"),
        ([0] * 6, [1] * 3 + [0] * 3, "no clear difference"),  # an interval above 0, and p = 0.25
        ([0] * 100, [1] * 4 + [0] * 96, "no clear difference"),  # p = 0.125
        ([0] * 100, [1] * 6 + [0] * 94, "better"),  # p = 0.03
    ],
)
def test_few_questions_that_changed_are_no_gain(before: list[float], after: list[float], said: str) -> None:
    interval, p = paired_bootstrap_interval(before, after, seed=1), paired_permutation_test(before, after, seed=1)
    assert interval[0] > 0, "it excludes no change"
    assert Gain("a", "b", len(before), 0.0, interval, p).verdict == said
