"""The finished pieces of an experiment, kept so that an interrupted command goes on, and the time it may take."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from burnish import __version__
from burnish.files import atomic_write_text, reported
from burnish.hardware import device_name
from burnish.runs.lock import run_lock

T = TypeVar("T")


class Notebook:
    """JSON results by name, in a folder; those of other settings, versions or another machine are not gone on from."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        facts = [settings, __version__, torch.__version__, device_name(device), torch.get_num_threads()]
        self.identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def piece(self, name: str, compute: Callable[[], T]) -> T:
        """`compute()`, a JSON value, done once even if the experiment is interrupted afterwards."""
        file = self.folder / f"{name}.json"
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            if kept["identity"] == self.identity:
                return kept["result"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass  # Not there, or not one of ours: done again.
        result = compute()
        atomic_write_text(file, json.dumps({"identity": self.identity, "result": result}))
        return result

    def discard(self) -> None:
        """Forget everything."""
        with reported("remove", self.folder):
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def subfolder(self, name: str) -> Path:
        """Where a piece may keep files of its own, such as the state of a training."""
        folder = self.folder / name
        with reported("write", folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder


@contextmanager
def open_notebook(
    folder: Path, name: str, settings: Mapping[str, Any], *, seed: int, again: bool
) -> Iterator[Notebook]:
    """The notebook in `folder/name`, emptied where it is done `again`. No other experiment runs in `folder` meanwhile,
    since each sizes itself by its speed. Raises BurnishError where one does."""
    notebook = Notebook(folder / name, {**settings, "seed": seed})
    with run_lock(folder):
        if again:
            notebook.discard()
        yield notebook


def command_line(name: str, minutes: float, *, quick: bool) -> str:
    """How a user asks for an experiment of this size."""
    return f"burnish lab {name} {'--quick' if quick else f'--minutes {minutes:g}'}"


def affordable(seconds: float, unit_seconds: float, *, least: int, most: int, multiple: int = 1) -> int:
    """How many units of `unit_seconds` fit into `seconds`, from `least` to `most`, a multiple of `multiple`."""
    if not math.isfinite(unit_seconds) or unit_seconds <= 0:
        raise ValueError(f"a unit takes a positive time, got {unit_seconds}")
    count = int(seconds / unit_seconds) // multiple * multiple
    return max(least, min(most, count))


def fastest(action: Callable[[], object], *, seconds: float, least: int = 3, most: int = 1000) -> float:
    """Seconds of the fastest of repeated calls, after one that warms up; repeated for about `seconds`.

    The fastest, because whatever else the machine does only ever adds time.
    """
    action()
    best, started, calls = math.inf, time.perf_counter(), 0
    while calls < least or (calls < most and time.perf_counter() - started < seconds):
        begun = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - begun)
        calls += 1
    return best
