"""What a system without POSIX's modules, as Windows is, can still do: import, train, and chat."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workshop import SAME_BITS, make_workshop

WITHOUT_POSIX = """
import builtins
import os
import signal
import sys

import psutil
import torch  # what others import is their own affair

MISSING = ("fcntl", "grp", "pwd", "resource", "termios", "tty")
plain_import = builtins.__import__

def portable_import(name, globals=None, *rest, **options):
    if name in MISSING and (globals or {}).get("__name__", "").startswith("burnish"):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    return plain_import(name, globals, *rest, **options)

builtins.__import__ = portable_import
for name in ("SIGHUP", "SIGALRM", "SIGUSR1"):
    delattr(signal, name)
for name in ("fork", "killpg", "sched_getaffinity", "setsid"):
    delattr(os, name)

from burnish.cli import main
"""

RECIPE = (
    "name: plain"
    + SAME_BITS
    + """stages:
  - type: sft
    data: rows.jsonl
    heldout: 0.2
    training: {learning_rate: 5e-3, batch_size: 4, epochs: 1}
  - type: export
"""
)


def _burnish(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"{WITHOUT_POSIX}\nsys.argv = {['burnish', *arguments]!r}\nmain()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_a_recipe_without_sql_and_chat_need_no_posix(tmp_path: Path) -> None:
    make_workshop(tmp_path, RECIPE)
    rows = [{"prompt": f"{i} mod 3?", "completion": str(i % 3)} for i in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = _burnish(tmp_path, "run", "recipe.yaml")
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "runs" / "plain" / "report.html").is_file()
    chat = _burnish(tmp_path, "chat", "runs/plain", "--ask", "4 mod 3?")
    assert chat.returncode == 0, chat.stdout + chat.stderr
    assert chat.stdout.strip()
