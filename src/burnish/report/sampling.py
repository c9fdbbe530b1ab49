"""The section of an evaluation with several answers to each task: pass@k by k, and the grid of ways of decoding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.report import formatting
from burnish.report.bars import SERIES_COLOURS
from burnish.report.charts import LineChart, line_chart

PASS = "pass@"


@dataclass(frozen=True)
class GridRow:
    """A way of decoding as texts: the values of its keys, and value and interval of each measure."""

    settings: Sequence[str]
    figures: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class DecodingGrid:
    """All ways of decoding of one model; the first row is the one that its other figures are of."""

    model: str
    keys: Sequence[str]
    measures: Sequence[str]
    rows: Sequence[GridRow]
    charts: Sequence[LineChart]


@dataclass(frozen=True)
class Sampled:
    """What several answers to each task of a stage told. curves: pass@k of each model by k."""

    stage: str
    samples: int
    curves: LineChart | None
    grids: Sequence[DecodingGrid]


def sampled(stage: str, recorded: Mapping[str, Mapping[str, Any]]) -> Sampled | None:
    """The section of a stage whose metrics hold these scores by model; None where each task was answered once."""
    of_models = {label: one for label, one in recorded.items() if one.get("measures") or one.get("grid")}
    if not of_models:
        return None
    series = [(label, list(_curve(one.get("measures", {})))) for label, one in of_models.items()]
    drawn = [(label, points) for label, points in series if len(points) > 1][:SERIES_COLOURS]
    return Sampled(
        stage,
        max(int(one.get("samples", 1)) for one in of_models.values()),
        line_chart("pass@k", drawn, x_name="k") if drawn else None,
        [_grid(label, one["kind"], one["grid"]) for label, one in of_models.items() if one.get("grid")],
    )


def measured(recorded: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any] | None]]]:
    """Each measure by name, of all models."""
    for name in dict.fromkeys(name for one in recorded for name in one.get("measures", {})):
        yield name, [_as_share(one.get("measures", {}).get(name)) for one in recorded]


def _as_share(measure: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if measure is None else {"kind": "accuracy", **measure}


def _curve(measures: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    for name, measure in measures.items():
        if name.startswith(PASS) and measure["value"] is not None:
            yield float(name.removeprefix(PASS)), measure["value"]


def _grid(model: str, kind: str, points: Sequence[Mapping[str, Any]]) -> DecodingGrid:
    keys, names = list(points[0]["decoding"]), list(points[0].get("measures", {}))
    measures = [kind, *names] if f"{PASS}1" not in names else names
    shares = kind == "accuracy"
    return DecodingGrid(
        model,
        keys,
        measures,
        [
            GridRow(
                [formatting.number(value) for value in point["decoding"].values()],
                [_texts(_measure(point, name), shares) for name in measures],
            )
            for point in points
        ],
        [chart for name in dict.fromkeys((measures[0], measures[-1])) if (chart := _chart(name, keys, points))],
    )


def _measure(point: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = point if name == point["kind"] else point["measures"][name]
    return found


def _texts(measure: Mapping[str, Any], shares: bool) -> tuple[str, str]:
    if measure["value"] is None:
        return "", ""
    shown = formatting.percent if shares else formatting.number
    return shown(measure["value"]), " to ".join(shown(end) for end in measure["interval"])


def _chart(name: str, keys: Sequence[str], points: Sequence[Mapping[str, Any]]) -> LineChart | None:
    """A measure over the key with the most values, a line for each choice of the others; None where it says nothing."""
    different = {key: {point["decoding"][key] for point in points} for key in keys}
    along = max(keys, key=lambda key: len(different[key]))
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        value = _measure(point, name)["value"]
        others = ", ".join(f"{key} {value:g}" for key, value in point["decoding"].items() if key != along)
        if value is not None:
            lines.setdefault(others or name, []).append((float(point["decoding"][along]), value))
    drawn = [(label, sorted(line)) for label, line in lines.items() if len(line) > 1]
    if not drawn or len(drawn) > SERIES_COLOURS:
        return None
    return line_chart(name, drawn, x_name=along, whole=False)
