"""What a finished run shows on the terminal: its stages, and what came out."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from burnish.terminal import duration, printable

_ABOUT_THE_RUN = {
    "name",
    "recipe",
    "model",
    "n_parameters",
    "seed",
    "finished",
    "wall_seconds",
    "peak_rss_gib",
    "hardware",
    "stages",
}


_SHARES = {"repeated_ngrams"}
"""Entries of the summary that are shares, besides those that end in accuracy."""


def stage_table(summary: Mapping[str, Any]) -> Table:
    """One row a stage: time and memory when it really ran, and whether that was now."""
    table = Table(title=_text(str(summary["name"])), box=box.SIMPLE_HEAD, title_justify="left")
    for column, justify in (("stage", "left"), ("time", "right"), ("peak memory", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for stage in summary["stages"]:
        table.add_row(
            _text(stage["name"]),
            duration(stage["seconds"]),
            f"{stage['peak_rss_gib']:.1f} GiB",
            "cached" if stage["cached"] else "",
        )
    table.add_section()
    table.add_row("all", duration(summary["wall_seconds"]), f"{summary['peak_rss_gib']:.1f} GiB", "")
    return table


def estimate_table(plan: Mapping[str, Any]) -> Table:
    """One row a stage of `burnish plan`: what it computes and what that will take."""
    table = Table(title=_text(str(plan["name"])), box=box.SIMPLE_HEAD, title_justify="left")
    columns = ("stage", "", "steps", "tokens trained", "tokens sampled", "time", "memory", "disk")
    for column in columns:
        table.add_column(column, justify="left" if column in ("stage", "") else "right")
    for stage in plan["stages"]:
        work, seconds, memory = stage.get("work"), stage.get("seconds"), stage.get("memory_gib")
        unknown = "" if stage["state"] == "cached" else "?"
        table.add_row(
            _text(stage["name"]),
            stage["state"],
            *(f"{work[key]:,}" if work else unknown for key in ("steps", "trained", "decoded")),
            duration(seconds) if seconds is not None else unknown,
            f"{memory:.1f} GiB" if memory is not None else unknown,
            f"{stage['disk_gib']:.1f} GiB" if "disk_gib" in stage else "",
        )
    table.add_section()
    totals = plan["total"]
    least = "over " if totals["unknown"] else ""
    table.add_row(
        "all", "", "", "", "", least + duration(totals["seconds"]), f"{totals['memory_gib']:.1f} GiB",
        f"{totals['disk_gib']:.1f} GiB",
    )  # fmt: skip
    return table


def result_table(summary: Mapping[str, Any]) -> Table | None:
    """One row a number that a stage put into the summary; None when there is none."""
    rows = [
        row
        for key, value in summary.items()
        if key not in _ABOUT_THE_RUN and not key.endswith("_interval")
        for row in _rows(key, (), value, summary.get(f"{key}_interval", {}))
    ]
    if not rows:
        return None
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("result", "", "value"):
        table.add_column(column, justify="right" if column == "value" else "left")
    table.add_column("95 % interval")
    last = None
    for name, label, value, interval in rows:
        table.add_row(_text("" if name == last else name), _text(label), _text(value), _text(interval))
        last = name
    return table


def _rows(key: str, path: tuple[str, ...], value: Any, interval: Any) -> Iterator[tuple[str, str, str, str]]:
    """Name, label, value and interval of every number in a nested entry of the summary."""
    if isinstance(value, dict):
        if set(value) == {"before", "after"} and all(isinstance(part, int | float) for part in value.values()):
            change = f" ({value['after'] / value['before'] - 1:+.1%})" if value["before"] else ""
            shown = f"{_number(key, value['before'])} → {_number(key, value['after'])}{change}"
            yield _words(key), _words(" ".join(path)), shown, _change(interval)
            return
        for name, part in value.items():
            inner = interval.get(name) if isinstance(interval, dict) else None
            yield from _rows(key, (*path, name), part, inner)
    elif isinstance(value, int | float):
        shown = " to ".join(_number(key, end) for end in interval) if isinstance(interval, list) else ""
        if key.startswith("perplexity"):
            shown = _change(interval, " against the first")
        yield _words(key), _words(" ".join(path)), _number(key, value), shown


def difference_lines(results: Mapping[str, Any]) -> Iterator[str]:
    """What `results.json` says of two models on the same tasks, a line each."""
    for one in results["differences"]:
        low, high = one["interval"]
        shares = results["scores"][one["after"]]["kind"] == "accuracy"
        value, low, high = (f"{100 * x:+.1f}" if shares else f"{x:+.3g}" for x in (one["value"], low, high))
        yield (
            f"{one['before']} to {one['after']}: {value} ({low} to {high}){' points' if shares else ''}, "
            f"p = {one['p']:.2g} by permutation"
        )


def _change(interval: Any, against: str = "") -> str:
    """Between which changes the true one lies, and whether it may be none at all."""
    if not isinstance(interval, list):
        return ""
    low, high = interval
    return f"{low:+.1%} to {high:+.1%}{against}" + ("" if low > 0 or high < 0 else ": no clear difference")


def _number(key: str, value: float) -> str:
    if key.endswith("accuracy") or "@" in key or key in _SHARES:
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _text(foreign: str) -> Text:
    """A cell that shows what it is given: neither markup nor control characters act."""
    return Text(printable(foreign))


def _words(name: str) -> str:
    return name.replace("_", " ")
