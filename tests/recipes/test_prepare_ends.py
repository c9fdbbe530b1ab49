"""Nothing that a prepare script has started outlives the run, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from workshop import SAME_BITS, make_workshop

# A child that ignores SIGTERM, another in a session of its own whose parent has ended, and a script that waits.
SCRIPT = """
import argparse, os, subprocess, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
parser.add_argument("--pids", type=Path)
parser.add_argument("--end", action="store_true")
given = parser.parse_args()
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-S", "-c", stubborn])
parent = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'],"
parent += " start_new_session=True, stdout=subprocess.DEVNULL); print(p.pid)"
orphan = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True).stdout
(given.out / "data.txt").write_text("x")
time.sleep(0.3)
given.pids.write_text(f"{os.getpid()} {child.pid} {orphan}")
print("started")
if not given.end:
    time.sleep(600)
"""
PROGRAM = """
import sys
from burnish.console.display import Display
from burnish.recipes.runner.running import run
run(sys.argv[1], runs=sys.argv[2], display=Display(quiet=True))
"""


def start(tmp_path: Path, *arguments: str) -> tuple["subprocess.Popen[bytes]", list[int]]:
    """A run in a process of its own, and the processes that its script has started."""
    pids = tmp_path / "pids"
    stage = (
        f"{{type: prepare, script: prepare.py, arguments: [--pids, '{pids}'{''.join(f', {a}' for a in arguments)}]}}"
    )
    recipe = make_workshop(tmp_path, f"name: numbers{SAME_BITS}stages:\n  - {stage}\n")
    (tmp_path / "prepare.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(recipe), str(tmp_path / "runs")], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while not (pids.exists() and len(pids.read_text().split()) == 3):
        assert time.monotonic() < deadline
        assert process.poll() is None or pids.exists()
        time.sleep(0.02)
    return process, [int(pid) for pid in pids.read_text().split()]


def all_end(pids: list[int]) -> bool:
    def alive(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an orphan in a session of its own is nobody's child")
@pytest.mark.parametrize("ending", [signal.SIGKILL, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_script_ends_with_the_run(tmp_path: Path, ending: signal.Signals) -> None:
    process, pids = start(tmp_path)
    os.kill(process.pid, ending)
    process.wait(60)
    assert all_end(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an orphan in a session of its own is nobody's child")
def test_what_a_finished_script_has_left_is_ended_and_not_waited_for(tmp_path: Path) -> None:
    process, pids = start(tmp_path, "--end")
    assert process.wait(120) == 0
    assert all_end(pids)
    assert (tmp_path / "runs" / "numbers" / "01-prepare" / "data.txt").exists()
