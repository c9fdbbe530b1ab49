"""The log of a stage: `events.jsonl`, one object a step, and TensorBoard event files where it is installed."""

import json
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from burnish.files import reported


class EventLog:
    """Appends one event a step; on resuming, events of steps that will run again are dropped first."""

    def __init__(self, folder: Path, *, first_step: int = 0) -> None:
        self._path = folder / "events.jsonl"
        with reported("write", self._path):
            folder.mkdir(parents=True, exist_ok=True)
            kept = [event for event in read_events(folder) if event["step"] < first_step]
            self._path.write_text("".join(json.dumps(event) + "\n" for event in kept))
            self._file = self._path.open("a", encoding="utf-8")
        self._tensorboard: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def write(self, *, step: int, **metrics: float) -> None:
        """Append the metrics of a step, with the time of day in seconds since 1970."""
        with reported("write", self._path):
            self._file.write(json.dumps({"step": step, "time": time.time(), **metrics}) + "\n")
            self._file.flush()
        if self._tensorboard is not None:
            for name, value in metrics.items():
                self._tensorboard.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a stage folder; a last line that a kill cut short is left out."""
    path = folder / "events.jsonl"
    if not path.exists():
        return []
    events = []
    with reported("read", path):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                break
    return events
