"""The flights example's preparation, run as a user runs it; and what its files hold."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"
NUMBERS = ("--composed", "700", "100", "200", "--intents", "900", "400", "--test", "264", "72")
Row = dict[str, Any]


def start(out: Path, *arguments: str, hash_seed: str = "0") -> "subprocess.Popen[str]":
    """prepare.py as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(FLIGHTS / "prepare.py"), "--out", str(out), *arguments],
        env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """What it prints, once it has ended well."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def read(folder: Path, name: str) -> list[Row]:
    """All questions of a file."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def question(row: Row) -> str:
    """The words of a question."""
    return str(row["messages"][1]["content"])
