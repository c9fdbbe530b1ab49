"""Charts as plain numbers: the geometry of lines and points that the report's template draws as SVG.

Drawn by hand rather than with a plotting library: the report needs two kinds of chart, in the page's own colours
(light and dark), with text that stays sharp and selectable, and no dependency.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from burnish.report.formatting import MINUS, scientific

Points = Sequence[tuple[float, float]]

MAX_POINTS = 300
"""More points than pixels only make the page heavy."""
MARKED_UP_TO = 20
"""Points up to which each is drawn as one: of a line alone nobody sees how few values it joins."""
SMOOTHED_FROM = 30
"""Points from which a noisy curve is drawn smoothed, with the raw values faint behind it."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in the drawing's units, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One series: SVG point lists of the raw values and, for long series, of the smoothed ones.

    marks: where each value lies, for series of few.
    """

    label: str
    raw: str
    smooth: str | None
    first: float
    last: float
    marks: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class LineChart:
    """Series over training steps, or `x_name`. Built by `line_chart`; all positions are in the units of the viewBox."""

    title: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    x_name: str = "training steps"

    WIDTH: ClassVar[int] = 340
    HEIGHT: ClassVar[int] = 190
    LEFT: ClassVar[int] = 46
    RIGHT: ClassVar[int] = 330
    TOP: ClassVar[int] = 10
    BOTTOM: ClassVar[int] = 164


def line_chart(
    title: str, series: Sequence[tuple[str, Points]], *, x_name: str = "training steps", whole: bool = True
) -> LineChart:
    """Lay out one or several series, each a label and `(step, value)` points, on shared axes.

    x_name: what the points are over. whole: whether that is counted, so that only whole numbers are marked.
    """
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points]
    x_low, x_high = _widened(min(xs), max(xs))
    y_low, y_high = _widened(min(ys), max(ys))

    def across(x: float) -> float:
        return LineChart.LEFT + (x - x_low) / (x_high - x_low) * (LineChart.RIGHT - LineChart.LEFT)

    def down(y: float) -> float:
        return LineChart.BOTTOM - (y - y_low) / (y_high - y_low) * (LineChart.BOTTOM - LineChart.TOP)

    def path(points: Points) -> str:
        return " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)

    lines = []
    for label, points in series:
        smooth = smoothed(points) if is_noisy(points) else None
        drawn = smooth or points
        lines.append(
            Line(
                label=label,
                raw=path(thinned(points)),
                smooth=path(thinned(smooth)) if smooth else None,
                first=drawn[0][1],
                last=drawn[-1][1],
                marks=[(across(x), down(y)) for x, y in points] if len(points) <= MARKED_UP_TO else [],
            )
        )
    return LineChart(
        title=title,
        lines=lines,
        x_ticks=[Tick(across(x), axis_label(x)) for x in ticks(x_low, x_high) if not whole or x == int(x)],
        y_ticks=[Tick(down(y), axis_label(y)) for y in ticks(y_low, y_high)],
        x_name=x_name,
    )


@dataclass(frozen=True)
class Point:
    """Where a point lies, and the ends of its two intervals, in the units of the viewBox."""

    label: str
    x: float
    y: float
    x_interval: tuple[float, float]
    y_interval: tuple[float, float]


@dataclass(frozen=True)
class PointChart:
    """Points with an interval in both directions. Built by `point_chart`, in a `LineChart`'s viewBox."""

    title: str
    x_name: str
    points: Sequence[Point]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]


Range = tuple[float, tuple[float, float]]
"""A value and its interval."""


def point_chart(title: str, x_name: str, points: Sequence[tuple[str, Range, Range]]) -> PointChart:
    """Lay out labelled points, each with the value and interval of x and of y."""
    x_low, x_high = _padded([end for _, (x, ends), _ in points for end in (x, *ends)])
    y_low, y_high = _padded([end for _, _, (y, ends) in points for end in (y, *ends)])

    def across(x: float) -> float:
        return LineChart.LEFT + (x - x_low) / (x_high - x_low) * (LineChart.RIGHT - LineChart.LEFT)

    def down(y: float) -> float:
        return LineChart.BOTTOM - (y - y_low) / (y_high - y_low) * (LineChart.BOTTOM - LineChart.TOP)

    return PointChart(
        title=title,
        x_name=x_name,
        points=[
            Point(label, across(x), down(y), (across(xs[0]), across(xs[1])), (down(ys[0]), down(ys[1])))
            for label, (x, xs), (y, ys) in points
        ],
        x_ticks=[Tick(across(x), axis_label(x)) for x in ticks(x_low, x_high)],
        y_ticks=[Tick(down(y), axis_label(y)) for y in ticks(y_low, y_high)],
    )


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """About `count` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Rounded to the step's own digits, so that 3 * 0.1 is 0.3.
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]


def axis_label(value: float) -> str:
    """Short, and as exact as the round number it is: 0, 250, 12k, 0.05, 2e-5."""
    if value != 0 and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return scientific(value, 2)
    text = f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:g}"
    return text.replace("-", MINUS)


def is_noisy(points: Points) -> bool:
    """Whether a curve turns so often that its trend wants smoothing; a learning-rate schedule does not."""
    if len(points) < SMOOTHED_FROM:
        return False
    rises = [after > before for (_, before), (_, after) in pairwise(points)]
    turns = sum(first != second for first, second in pairwise(rises))
    return turns > len(points) / 5


def smoothed(points: Points) -> list[tuple[float, float]]:
    """Moving average over a fifteenth of the points around each; less at the ends, where one side is missing."""
    half = max(1, len(points) // 30)
    sums = [0.0]
    for _, y in points:
        sums.append(sums[-1] + y)
    out = []
    for index, (x, _) in enumerate(points):
        start, stop = max(0, index - half), min(len(points), index + half + 1)
        out.append((x, (sums[stop] - sums[start]) / (stop - start)))
    return out


def thinned(points: Points) -> Points:
    """At most `MAX_POINTS` points, evenly chosen, the last one kept."""
    if len(points) <= MAX_POINTS:
        return points
    last = len(points) - 1
    return [points[round(index * last / (MAX_POINTS - 1))] for index in range(MAX_POINTS)]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """A range with room around its values, so that no point lies on the frame."""
    low, high = _widened(min(values), max(values))
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range wide enough to draw, so that a curve flat but for rounding lies in the middle of its chart."""
    size = max(abs(low), abs(high))
    if high - low > 1e-9 * size:
        return low, high
    margin = 0.1 * size or 1.0
    return low - margin, high + margin
