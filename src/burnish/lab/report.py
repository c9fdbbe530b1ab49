"""What an experiment leaves behind: tables on the terminal and in Markdown, every number as JSON, plots as SVG."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich import box
from rich import table as rich_table
from rich.text import Text

from burnish import __version__
from burnish.errors import BurnishError
from burnish.files import atomic_file, atomic_write_text, reported
from burnish.hardware import available_cores, device_name
from burnish.report.formatting import MINUS, scientific
from burnish.runs.progress import Reporter
from burnish.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cell = str | int | float | None
"""A text, a count (shown with every digit), a measurement (four significant digits), or nothing."""

_COLUMNS = 2
_PANEL_INCHES = (5.2, 3.6)
_FEW = 10
"""Up to so many places on an axis are each marked."""
_MARKERS = "osD^vPX*<>"


@dataclass(frozen=True)
class Table:
    """Rows under a title; `note` says what a reader must know to read them rightly."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: {len(self.columns)} columns but a row of {len(row)}: {row}")


@dataclass(frozen=True)
class Panel:
    """One plot: `(x, y)` points by label, and horizontal `references`; points that are not finite are left out.

    errors: by label, for each of its points the half-lengths `(x, y)` of its error bars.
    """

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False
    references: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)


def require_plots() -> None:
    """Raise BurnishError where nothing could be drawn: before the minutes of an experiment, not after them."""
    if find_spec("matplotlib") is None:
        raise BurnishError("plots need matplotlib, which is not installed: pip install 'burnish[lab]'")


def write(
    folder: Path,
    name: str,
    tables: Sequence[Table],
    panels: Sequence[Panel],
    display: Reporter,
    *,
    seed: int,
    settings: Mapping[str, Any],
) -> list[Path]:
    """Print the tables and write `<name>.md`, `<name>.json` and, where there are panels, `<name>.svg` into `folder`.

    settings: what the experiment was run with, as JSON values; `settings["command"]` is the command line, if any.
    Returns the files. Raises BurnishError where one cannot be written or matplotlib (extra `lab`) is missing.
    """
    for table in tables:
        display.show(_rich(table))
    facts = machine()
    document = {
        "name": name,
        "machine": facts,
        "seed": seed,
        "settings": settings,
        "tables": [asdict(table) for table in tables],
        "panels": [asdict(panel) for panel in panels],
    }
    files = [folder / f"{name}.md", folder / f"{name}.json"]
    atomic_write_text(files[0], _markdown(name, tables, bool(panels), facts, settings))
    atomic_write_text(files[1], json.dumps(_finite(document), indent=1, allow_nan=False) + "\n")
    if panels:
        files.append(folder / f"{name}.svg")
        _draw(panels, files[-1])
    return files


def machine() -> dict[str, Any]:
    """What the numbers were measured with."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "device": device_name(device),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "burnish": __version__,
    }


def shown(cell: Cell) -> str:
    """A cell as a person reads it."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return _measurement(cell) if math.isfinite(cell) else "not finite"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _measurement(value: float) -> str:
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e7):
        return scientific(value, 4)
    return (f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}").replace("-", MINUS)


def _rich(table: Table) -> rich_table.Table:
    drawn = rich_table.Table(title=table.title, caption=table.note or None, box=box.SIMPLE_HEAD, title_justify="left")
    drawn.caption_justify = "left"
    for index, column in enumerate(table.columns):
        drawn.add_column(Text(printable(column)), justify="right" if _numeric(table, index) else "left")
    for row in table.rows:
        drawn.add_row(*(Text(printable(shown(cell))) for cell in row))
    return drawn


def _numeric(table: Table, column: int) -> bool:
    return all(not isinstance(row[column], str) for row in table.rows)


def _markdown(
    name: str, tables: Sequence[Table], drawn: bool, facts: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """The tables as Markdown, under one line that says where the numbers come from."""
    command = f"`{settings['command']}` on " if "command" in settings else ""
    lines = [
        f"{command}{facts['device']}, {facts['threads']} threads, PyTorch {facts['torch']}, "
        f"Burnish {facts['burnish']}. All numbers: `{name}.json`.",
        "",
    ]
    if drawn:
        lines += [f"![The plots of this experiment]({name}.svg)", ""]
    for table in tables:
        marks = ["---:" if _numeric(table, index) else "---" for index in range(len(table.columns))]
        lines += [f"### {table.title}", ""]
        for row in ([_escaped(column) for column in table.columns], marks):
            lines.append(f"| {' | '.join(row)} |")
        lines += [f"| {' | '.join(_escaped(shown(cell)) for cell in row)} |" for row in table.rows]
        lines += ["", *([table.note, ""] if table.note else [])]
    return "\n".join(lines).rstrip() + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _finite(value: Any) -> Any:
    """JSON has no infinity: what is not finite becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _draw(panels: Sequence[Panel], file: Path) -> None:
    require_plots()
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = math.ceil(len(panels) / _COLUMNS)
    columns = min(len(panels), _COLUMNS)
    figure = Figure(figsize=(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows), layout="constrained")
    FigureCanvasSVG(figure)
    for index, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(rows, columns, index + 1), panel)
    # A fixed salt and no date: the same numbers give the same file.
    style: dict[Any, Any] = {"svg.hashsalt": "burnish", "svg.fonttype": "none"}
    with matplotlib.rc_context(style), atomic_file(file) as temporary, reported("write", file):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    for (label, points), marker in zip(panel.series.items(), cycle(_MARKERS), strict=False):
        finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        few = len(finite) <= 3 * _FEW
        (line,) = axes.plot(
            *zip(*finite, strict=True), label=label, marker=marker if few else None, markersize=4, linewidth=1.3
        )
        for (x, y), (x_error, y_error) in zip(points, panel.errors.get(label, ()), strict=False):
            axes.errorbar(x, y, xerr=x_error, yerr=y_error, color=line.get_color(), linewidth=0.8, capsize=2)
    for label, value in panel.references.items():
        axes.axhline(value, linestyle="--", linewidth=1, color="0.4")
        axes.annotate(label, (0.01, value), xycoords=("axes fraction", "data"), fontsize=7, va="bottom", color="0.3")
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.log_x:
        axes.set_xscale("log")
        measured = sorted({x for points in panel.series.values() for x, _ in points})
        if len(measured) <= _FEW:
            # 256, 1,024, 4,096 say more than powers of ten between them.
            axes.set_xticks(measured, labels=[f"{x:,g}" for x in measured])
            axes.minorticks_off()
    if panel.log_y:
        axes.set_yscale("log")
    axes.grid(visible=True, alpha=0.25)
    if panel.series:
        axes.legend(fontsize=7)
