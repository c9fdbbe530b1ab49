"""What a system without POSIX's modules, as Windows is, can still do: import, train, and chat."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from burnish import hardware
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


def test_a_user_without_a_home_measures_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as any number."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(hardware, "_matmul_rate", lambda device, dtype: 100.0)
    assert hardware.choose_compute_dtype("auto", torch.device("cpu")) == torch.float32


def test_what_was_measured_for_another_number_of_threads_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured: list[torch.dtype] = []

    def measure(device: torch.device, dtype: torch.dtype) -> float:
        measured.append(dtype)
        return 100.0

    monkeypatch.setattr(hardware, "_matmul_rate", measure)
    for threads in (1, 2, 1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        hardware.explain_compute_dtype("auto", torch.device("cpu"))
    assert len(measured) == 2 * len(hardware.DTYPES)
