"""Tools for questions about the flights: look up a name's code, ask the database, plot what it said.

They are the functions that `burnish chat --tools` and the recipe `agent.yaml` call. The database and the names lie
beside this file, as `prepare.py` has put them there; queries run in Burnish's sandbox alone.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from burnish.agents.database import table_text
from burnish.errors import BurnishError
from burnish.rewards.sql_sandbox import SqlSandbox

HERE = Path(__file__).parent
MOST = 4
"""Codes that a look-up gives."""


def tools() -> list[Callable[..., str]]:
    """The tools of one conversation, which share the last query's result."""
    names = json.loads((HERE / "names.json").read_text(encoding="utf-8"))
    last: list[tuple[tuple[str, ...], tuple[tuple[object, ...], ...]]] = []

    def find_code(name: str) -> str:
        """Find the codes of an airline or airport by its name or city."""
        wanted = " ".join(name.lower().split())
        exact = [entry for entry in names if wanted in entry["names"]]
        near = [entry for entry in names if any(wanted in one for one in entry["names"])] if wanted else []
        found = (exact or near)[:MOST]
        return ", ".join(f"{entry['column']} {entry['code']}" for entry in found) or "none"

    def query(sql: str) -> str:
        """Run a DuckDB SQL query."""
        result = _SANDBOX.execute(sql)
        if result.error is not None:
            raise BurnishError(result.error[:200])
        last[:] = [(result.columns, result.rows)]
        return table_text(result.columns, result.rows[:5]) + (
            f"\n({len(result.rows) - 5} more rows)" if len(result.rows) > 5 else ""
        )

    def plot(kind: Literal["bar", "line"]) -> str:
        """Plot the last query's rows."""
        if not last or not last[0][1]:
            raise BurnishError("there is nothing to plot: run a query first")
        columns, rows = last[0]
        numbers = [i for i in range(len(columns)) if all(isinstance(row[i], int | float) for row in rows)]
        if len(columns) < 2 or not numbers:
            raise BurnishError("a plot needs a column of names and one of numbers")
        place = numbers[-1]
        (HERE / "plot.svg").write_text(draw(kind, [str(row[0]) for row in rows], [float(row[place]) for row in rows]))  # type: ignore[arg-type]
        return f"{kind} plot of {len(rows)} rows"

    return [find_code, query, plot]


_SANDBOX = SqlSandbox(HERE / "flights.duckdb")


def draw(kind: str, names: list[str], values: list[float]) -> str:
    """An SVG of bars or of a line."""
    width, height, top = 640, 320, max([*map(abs, values), 1e-9])
    step = width / len(values)
    heights = [abs(value) / top * (height - 40) for value in values]
    if kind == "bar":
        marks = [
            f'<rect x="{i * step:.1f}" y="{height - 20 - h:.1f}" width="{step * 0.8:.1f}" height="{h:.1f}"/>'
            for i, h in enumerate(heights)
        ]
    else:
        points = " ".join(f"{(i + 0.4) * step:.1f},{height - 20 - h:.1f}" for i, h in enumerate(heights))
        marks = [f'<polyline fill="none" stroke="black" points="{points}"/>']
    words = "".join(
        f'<text x="{i * step:.1f}" y="{height - 6}" font-size="9">{_escaped(name[:12])}</text>'
        for i, name in enumerate(names)
        if len(names) <= 40
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{"".join(marks)}{words}</svg>'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
