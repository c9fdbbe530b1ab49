"""The log of a stage: `events.jsonl`, one object a step, and TensorBoard event files where it is installed.

Notable choices:
- the file is only ever appended to: a resumed run says with a line `{"resumed": n}` that the steps from n on run again,
  and readers drop what was said of them before;
- a last line that a kill cut short is taken off;
- what is missing or cannot be read is said, since a curve with a hole looks like any other.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from burnish.files import open_regular, reported
from burnish.training.names import EVENTS_FILE

RESUMED = "resumed"


class EventLog:
    """Appends one event a step.

    first_step: the step that a resumed run begins with; events of it and later steps no longer count.
    on_notice: told of events that should be there and are not.
    """

    def __init__(self, folder: Path, *, first_step: int = 0, on_notice: Callable[[str], None] = lambda _: None) -> None:
        self._path = folder / EVENTS_FILE
        with reported("write", self._path):
            folder.mkdir(parents=True, exist_ok=True)
            for problem in _problems(self._path, first_step):
                on_notice(problem)
            _cut_torn_line(self._path)
            self._file = self._path.open("a", encoding="utf-8")
            if self._path.stat().st_size:
                self._append({RESUMED: first_step, "time": time.time()})
        self._tensorboard: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def write(self, *, step: int, **metrics: float) -> None:
        """Append the metrics of a step, with the time of day in seconds since 1970."""
        with reported("write", self._path):
            self._append({"step": step, "time": time.time(), **metrics})
        if self._tensorboard is not None:
            for name, value in metrics.items():
                self._tensorboard.add_scalar(name, value, step)

    def sync(self) -> None:
        """Force the events to the disk, so that no saved training state is ahead of them."""
        with reported("write", self._path):
            os.fsync(self._file.fileno())

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with reported("write", self._path):
                self._file.close()
            if self._tensorboard is not None:
                self._tensorboard.close()
        except Exception:
            # On a full disk closing fails as well; what went wrong first is what the user has to know.
            if error is None:
                raise


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a stage folder, in the order of their steps; lines that cannot be read are left out."""
    path = folder / EVENTS_FILE
    if not path.exists():
        return []
    events: dict[int, dict[str, Any]] = {}
    for line in _lines(path):
        if line is None:
            continue
        if RESUMED in line:
            events = {step: event for step, event in events.items() if step < line[RESUMED]}
        else:
            events[line["step"]] = line
    return [events[step] for step in sorted(events)]


def _lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Each line's object; None where it is none that `EventLog` writes."""
    with open_regular(path) as file:
        data = file.read()
    for line in data.split(b"\n"):
        if line.strip():
            yield _parsed(line)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
        step = value[RESUMED] if RESUMED in value else value["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if type(step) is int and math.isfinite(step) and step >= 0 else None


def _problems(path: Path, first_step: int) -> Iterator[str]:
    """What is wrong with the events of the steps before `first_step`, and with the lines of the file."""
    lines = list(_lines(path)) if path.exists() else []
    torn = _torn_bytes(path)
    if torn:
        yield f"{path}: its last line was cut short, and is taken off"
    unreadable = sum(line is None for line in lines[: len(lines) - bool(torn)])
    if unreadable:
        yield f"{path}: {unreadable} of {len(lines)} lines cannot be read, and are left out"
    missing = sorted(set(range(first_step)) - {event["step"] for event in read_events(path.parent)})
    if missing:
        yield (
            f"{path}: the events of {len(missing)} of the {first_step} finished steps are gone, the first of step "
            f"{missing[0]}; the curves will lack them, the model does not"
        )


def _torn_bytes(path: Path) -> int:
    """How many bytes follow the end of the last whole line."""
    if not path.exists():
        return 0
    with open_regular(path) as file:
        data = file.read()
    return len(data) - (data.rfind(b"\n") + 1)


def _cut_torn_line(path: Path) -> None:
    torn = _torn_bytes(path)
    if torn:
        os.truncate(path, path.stat().st_size - torn)
