"""The table of what was forgotten: each measure's value of each model, and whether it changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypedDict

from burnish.report import formatting
from burnish.report.verdicts import verdict


class ForgettingRow(TypedDict):
    """What was measured of all models, as JSON values.

    count: texts or questions. changes: by `before after`, the 95 % interval of the change between two models: relative
    of perplexities, else a difference; None where there is too little to tell.
    """

    name: str
    kind: Literal["perplexity", "accuracy", "score"]
    count: int
    values: Mapping[str, float]
    changes: Mapping[str, list[float] | None]


@dataclass(frozen=True)
class ForgettingCell:
    """A value as text, and where a model came before, the change since it: as text, and what is to be said of it."""

    value: str
    change: str = ""
    verdict: str = ""

    @property
    def said(self) -> str:
        """The change and the verdict."""
        return f"{self.change}, {self.verdict}" if self.change else self.verdict


@dataclass(frozen=True)
class ForgettingLine:
    """A row of the table. in_all: the change from the first to the last model, where there are more than two."""

    name: str
    count: int
    cells: Sequence[ForgettingCell]
    in_all: ForgettingCell | None


def lines(metrics: Mapping[str, Any]) -> list[ForgettingLine]:
    """The table of a stage's metrics."""
    labels = metrics["models"]
    return [_line(row, labels) for row in metrics["rows"]]


def described(row: ForgettingRow, labels: Sequence[str]) -> str:
    """A row in a line, for a terminal."""
    line = _line(row, labels)
    cells = [
        f"{label} {cell.value}" + (f" ({cell.said})" if cell.verdict else "")
        for label, cell in zip(labels, line.cells, strict=True)
    ]
    in_all = f"; in all {line.in_all.said}" if line.in_all is not None else ""
    return f"{line.name}: {', '.join(cells)}{in_all}"


def _line(row: ForgettingRow, labels: Sequence[str]) -> ForgettingLine:
    cells = [ForgettingCell(_value(row, labels[0])), *(_cell(row, one, other) for one, other in pairwise(labels))]
    in_all = _cell(row, labels[0], labels[-1]) if len(labels) > 2 else None
    return ForgettingLine(row["name"], row["count"], cells, in_all)


def _cell(row: ForgettingRow, before: str, after: str) -> ForgettingCell:
    interval = row["changes"].get(f"{before} {after}")
    pair = None if interval is None else (float(interval[0]), float(interval[1]))
    said = verdict(pair, count=row["count"], lower_is_better=row["kind"] == "perplexity")
    return ForgettingCell(_value(row, after), "" if pair is None else _change(row, pair), said)


def _value(row: ForgettingRow, label: str) -> str:
    value = row["values"][label]
    return formatting.percent(value) if row["kind"] == "accuracy" else formatting.number(value)


def _change(row: ForgettingRow, interval: tuple[float, float]) -> str:
    if row["kind"] == "score":
        return " to ".join(formatting.signed(end, 2) for end in interval)
    unit = "%" if row["kind"] == "perplexity" else "points"
    return " to ".join(formatting.signed(100 * end, 1) for end in interval) + f" {unit}"
