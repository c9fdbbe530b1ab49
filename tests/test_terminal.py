"""Nothing from elsewhere steers the terminal, wherever it is printed."""

import io
import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from burnish import cli
from burnish.console.display import Display
from burnish.console.tables import result_table, stage_table
from burnish.terminal import printable

EVIL = "\x1b]0;owned\x07\x9b31m\u202egpj\x08\r\ud800"
STEERS = set("\x1b\x07\x9b\u202e\x08\r")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve 日本\n\ttext", "naïve 日本\n\ttext"),
        ("\x00\u200b\ud800\u2028", "\\x00\\u200b\\ud800\\u2028"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("abc\u202egpj.exe\u2066", "abc\\u202egpj.exe\\u2066"),
        ("line\rother\x7f\x08", "line\\rother\\x7f\\x08"),
        (
            "👩\u200d🔬 می\u200cخواهم so\u00adfort 全角\u3000空白 1\u202f234",
            "👩\u200d🔬 می\u200cخواهم so\u00adfort 全角\u3000空白 1\u202f234",
        ),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_a_run_shows() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=False, width=300)
    display = Display(console)
    display.say(EVIL)
    with display.bar(EVIL, 1, "steps") as bar:
        bar.update(1)
    stage = {"name": f"{EVIL}[red]", "seconds": 1.0, "peak_rss_gib": 1.0, "cached": False}
    summary = {"name": EVIL, "stages": [stage], "wall_seconds": 1.0, "peak_rss_gib": 1.0, "accuracy": {EVIL: 0.5}}
    console.print(stage_table(summary))
    table = result_table(summary)
    assert table is not None
    console.print(table)
    shown = output.getvalue()
    assert not STEERS & set(shown)
    assert shown.count("\\x1b]0;owned") >= 5
    assert "[red]" in shown, "brackets are no markup"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """All that `burnish ARGUMENTS` prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["burnish", *map(str, arguments)])
        with suppress(SystemExit):
            cli.main()
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize(
    "recipe",
    [
        '"a\\e[31m\\u202e": 1\n',
        'name: "x\\e]0;owned\\a"\nmodel: "\\e[2J"\nstages: [{type: "\\x9b31m"}]\n',
        'name: x\nmodel: m\nstages: [{type: sft, data: "\\e[2J\\u202e.jsonl"}]\n',
        'name: x\nmodel: "package:\\e[2J/y"\nstages: [{type: prepare, script: "\\e[2J", watch: ["\\e"]}]\n',
        'name: x\nmodel: "package:numpy/\\e[2J"\nstages: [{type: sft, data: "@\\e[2J"}]\n',
    ],
)
@pytest.mark.parametrize("name", ["recipe.yaml", "re\x1b[31m\u202ecipe.yaml"])
def test_messages_about_recipes(tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str, name: str) -> None:
    (tmp_path / name).write_text(recipe)
    shown = call(capsys, "run", tmp_path / name, "--dry-run")
    assert "error: " in shown
    assert not STEERS & set(shown)


def test_data_files_and_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "\x1b[31mrows.jsonl"
    rows.write_text(json.dumps({"text": "x"}))
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"messages": [{"role": "\x1b]0;owned\x07\u202e", "content": "x"}]}))
    missing = tmp_path / "\x1b[31m\u202emissing"
    for arguments in (("data", "check", rows), ("data", "check", bad), ("chat", missing, "--ask", "x")):
        shown = call(capsys, *arguments)
        assert "\\x1b" in shown or "\\u001b" in shown
        assert not STEERS & set(shown)


def test_a_bug_report_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError(EVIL)

    monkeypatch.setattr("burnish.recipes.plan.planned.make_plan", broken)
    shown = call(capsys, "run", tmp_path / "recipe.yaml", "--dry-run")
    assert "This is a bug in Burnish" in shown
    assert not STEERS & set(shown)
