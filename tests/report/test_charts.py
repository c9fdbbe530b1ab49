"""The geometry of charts and the wording of figures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.report.charts import LineChart, axis_label, is_noisy, line_chart, smoothed, thinned, ticks
from burnish.report.formatting import duration, number, percent, points, shortened, title


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.13, 2.4, [0.5, 1.0, 1.5, 2.0]),
        (0, 2e-5, [0, 5e-6, 1e-5, 1.5e-5, 2e-5]),
        (-1.2, 0.4, [-1.0, -0.5, 0]),
        (0, 1234, [0, 500, 1000]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e3))
def test_ticks_lie_within_their_range(low: float, width: float) -> None:
    high = low + width * max(1.0, abs(low))
    found = ticks(low, high)
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in found)
    assert 1 <= len(found) <= 7


finite = st.floats(-1e6, 1e6)


@given(st.lists(finite, min_size=1, max_size=200))
def test_a_curve_stays_inside_its_chart(values: list[float]) -> None:
    chart = line_chart("loss", [("loss", list(enumerate(values)))])
    for pair in chart.lines[0].raw.split():
        x, y = map(float, pair.split(","))
        assert LineChart.LEFT <= x <= LineChart.RIGHT
        assert LineChart.TOP <= y <= LineChart.BOTTOM


@given(st.lists(finite, min_size=1, max_size=100))
def test_smoothing_keeps_the_steps_and_the_range(values: list[float]) -> None:
    curve = smoothed(list(enumerate(values)))
    assert [step for step, _ in curve] == list(range(len(values)))
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert all(min(values) - slack <= value <= max(values) + slack for _, value in curve)


def test_only_noise_is_smoothed() -> None:
    schedule = [(step, min(step / 10, 1 - step / 100)) for step in range(100)]
    noise = [(step, math.sin(step * 2.5)) for step in range(100)]
    assert not is_noisy(schedule)
    assert is_noisy(noise)
    assert not is_noisy(noise[:10])


def test_thinning_keeps_both_ends() -> None:
    curve = [(step, 0.0) for step in range(10_000)]
    thin = thinned(curve)
    assert len(thin) == 300
    assert (thin[0], thin[-1]) == (curve[0], curve[-1])
    assert thinned(curve[:5]) == curve[:5]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (axis_label(0), "0"),
        (axis_label(250), "250"),
        (axis_label(12_000), "12k"),
        (axis_label(-0.5), "−0.5"),
        (axis_label(2e-5), "2e−5"),
        (axis_label(1.5e-5), "1.5e−5"),
        (number(0), "0"),
        (number(0.041234), "0.0412"),
        (number(-1234.4), "−1,234"),
        (number(1e-5), "1e−5"),
        (number(12_345_678), "1.23e7"),
        (percent(0.6234), "62.3\N{NARROW NO-BREAK SPACE}%"),
        (points(0.683), "+68.3"),
        (points(-0.02), "−2.0"),
        (points(-0.0001), "0.0"),
        (duration(0.34), "0.3\N{NARROW NO-BREAK SPACE}s"),
        (duration(59.7), "1\N{NARROW NO-BREAK SPACE}min 00\N{NARROW NO-BREAK SPACE}s"),
        (duration(4320), "1\N{NARROW NO-BREAK SPACE}h 12\N{NARROW NO-BREAK SPACE}min"),
        (title("final_unseen_intents"), "Final unseen intents"),
        (title("kl"), "KL"),
        (shortened("abc", 3), "abc"),
        (shortened("abcdef", 3), "abc\n… 3 more characters"),
    ],
)
def test_figures_and_words(shown: str, expected: str) -> None:
    assert shown == expected
