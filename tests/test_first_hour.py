"""The first hour, as README tells it: the commands of its section, in order, with own files and a tiny model."""

import io
import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

import burnish
from burnish import cli
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from workshop import tiny_tokenizer

README = Path(__file__).parents[1] / "README.md"

SMALL = "--set compute_dtype=float32 --set threads=1 --set device=cpu --set sft.training.epochs=1"
ADDED = {
    "init": "--model model",
    "run": f"{SMALL} --set cpt.training.epochs=1 --set answers.max_new_tokens=8",
    "plan": f"{SMALL} --set cpt.training.epochs=1 --set answers.max_new_tokens=8",
    "chat": "--max-new-tokens 8",
}
"""What the commands get besides, so that they take seconds and give the same on every machine."""

SHOWN = {
    "init": r"recipe\.yaml\n.*(published|questions\.jsonl\n.*test\.jsonl\n)(.*\n)*Look at ",
    "data": r"questions\.jsonl: .*sft|what each step did",
    "run": r"01-documents: run|summary\.json\nruns/assistant/report\.html",
    "plan": r"steps.*\n.*time.*memory.*disk|stage ",
    "chat": r"",
    "index": r"passages",
    "export": r"\.gguf",
    "clean": r"would remove [\d,]+ bytes",
    "doctor": r"memory",
}


def _commands() -> list[str]:
    section = README.read_text(encoding="utf-8").partition("## Your own data")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def _files() -> None:
    """What the commands name: a team's pages, its database, and a model."""
    Path("handbook/machines").mkdir(parents=True)
    for number in range(12):
        parts = "".join(f"- **Part {number}-{n}**: what lathe {number} turns {n * 9} times a day.\n" for n in range(6))
        page = f"# Lathe {number}\n\n{parts}\n" + f"Oil lathe {number} on Mondays; note it in the green book. " * 12
        Path(f"handbook/machines/lathe-{number}.md").write_text(page)
    Path("handbook/hours.txt").write_text("The workshop opens at seven and closes at five. " * 12)
    with duckdb.connect("company.duckdb") as connection:
        connection.execute("CREATE TABLE parts AS SELECT range AS id, 'bolt ' || range AS name FROM range(5)")
    tokenizer = replace(tiny_tokenizer(), context_length=2048)
    decoder = Decoder(
        DecoderConfig(
            vocab_size=tokenizer.vocab_size, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, d_ff=32,
            max_positions=2048,
        )
    )  # fmt: skip
    decoder.initialize(seed=0)
    burnish.save(decoder, tokenizer, Path("model"))


def test_the_first_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    _files()
    capsys.readouterr()
    names = []
    for line in _commands():
        program, *words = shlex.split(line, comments=True)
        assert program == "burnish"
        names.append(words[0])
        monkeypatch.setattr(sys, "argv", ["burnish", *words, *shlex.split(ADDED.get(words[0], ""))])
        monkeypatch.setattr(sys, "stdin", io.StringIO("When is lathe 2 oiled?\nAnd lathe 3?\n"))
        status: str | int | None = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        assert not status, f"{line}\n{out}\n{err}"
        assert "Traceback" not in err, line
        assert re.search(SHOWN[words[0]], out), f"{line}\n{out}\n{err}"
    assert names == [
        "init",
        "init",
        "data",
        "data",
        "run",
        "plan",
        "run",
        "chat",
        "index",
        "chat",
        "export",
        "clean",
        "doctor",
    ]

    summary = json.loads(Path("runs/assistant/summary.json").read_text())
    names = "documents corpus cpt synthesize sft index choices answers export"
    assert [stage["name"] for stage in summary["stages"]] == names.split()
    report = Path("runs/assistant/report.html").read_text()
    assert "What this run cannot do" in report
    assert report.index("What this run cannot do") < report.index("perplexity"), "said before any figure"
    for model in (*Path("exported").glob("*.gguf"), Path("runs/assistant/09-export/model")):
        assert burnish.load(model)[0].config.n_layers == 1
