"""What an experiment writes: readable, complete, the same for the same numbers, and an error before the work."""

import io
import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.lab import report
from burnish.lab.report import Panel, Table, require_plots, shown, write

TABLE = Table(
    "Speed | memory", ["", "tokens", "loss"], [["a|b", 12345, 2.34567], ["c", None, math.nan]], note="Of now."
)
PANEL = Panel("Loss", "step", "nats", {"a": [(1, 2.0), (2, math.inf), (4, 1.0)]}, True, True, {"floor": 0.5})


def written(folder: Path) -> tuple[list[Path], str]:
    written = io.StringIO()
    console = Display(Console(file=written, width=100))
    files = write(folder, "toy", [TABLE], [PANEL], console, seed=3, settings={"command": "burnish lab toy"})
    return files, written.getvalue()


def test_every_number_is_in_the_json_and_what_is_not_finite_is_null(tmp_path: Path) -> None:
    files, _ = written(tmp_path)
    assert [file.name for file in files] == ["toy.md", "toy.json", "toy.svg"]
    document = json.loads((tmp_path / "toy.json").read_text())
    assert document["tables"][0]["rows"] == [["a|b", 12345, 2.34567], ["c", None, None]]
    assert document["panels"][0]["series"] == {"a": [[1, 2.0], [2, None], [4, 1.0]]}
    assert document["seed"] == 3
    assert {"device", "threads", "torch", "burnish", "python"} <= set(document["machine"])


def test_the_page_and_the_terminal_show_the_table(tmp_path: Path) -> None:
    _, printed = written(tmp_path)
    page = (tmp_path / "toy.md").read_text()
    assert "`burnish lab toy` on " in page
    assert "### Speed | memory" in page
    assert "| a\\|b | 12,345 | 2.346 |" in page
    assert "| c | – | not finite |" in page
    assert "| --- | ---: | ---: |" in page
    assert "Of now." in page
    for text in ("Speed | memory", "12,345", "not finite", "Of now."):
        assert text in printed


def test_the_plot_is_svg_and_a_function_of_the_numbers(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        written(tmp_path / folder)
    one, two = ((tmp_path / folder / "toy.svg").read_text() for folder in ("one", "two"))
    assert one == two
    assert ElementTree.fromstring(one).tag.endswith("svg")
    for text in ("Loss", "step", "nats", "floor"):
        assert re.search(f">[^<]*{text}", one)


def test_error_bars_are_drawn_and_kept(tmp_path: Path) -> None:
    console = Display(Console(file=io.StringIO()))
    bars = [(0.1, 0.2), (0.0, 0.3)]
    sizes = []
    for errors in ({}, {"a": bars}):
        panel = Panel("Bars", "x", "y", {"a": [(1, 2.0), (2, 3.0)]}, errors=errors)
        write(tmp_path, "bars", [], [panel], console, seed=0, settings={})
        sizes.append((tmp_path / "bars.svg").read_text().count("<path"))
    assert sizes[1] > sizes[0]
    document = json.loads((tmp_path / "bars.json").read_text())
    assert document["panels"][0]["errors"] == {"a": [list(bar) for bar in bars]}


def test_without_matplotlib_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "find_spec", lambda _: None)
    with pytest.raises(BurnishError, match=r"pip install 'burnish\[lab\]'"):
        require_plots()


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (0.0, "0"),
        (1234.6, "1,235"),
        (2.34567, "2.346"),
        (-0.5, "\N{MINUS SIGN}0.5"),
        (1.23456e-5, "1.235e\N{MINUS SIGN}5"),
        (1234567, "1,234,567"),
        ("x", "x"),
        (None, "–"),
    ],
)
def test_numbers_as_people_read_them(cell: str | int | float | None, text: str) -> None:
    assert shown(cell) == text


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns but a row of 1"):
        Table("t", ["a", "b"], [["x"]])
