"""Wall time and peak memory of a stage, over all its attempts."""

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError
from burnish.runs.folder import write_object
from burnish.runs.memory import Sampler
from burnish.runs.names import RUNNING_FILE

HEARTBEAT_SECONDS = 5.0


class Clock:
    """Kept in `running.json`, so that a kill loses a few seconds of it at most."""

    def __init__(self, folder: Path, key: str, running: Mapping[str, Any]) -> None:
        self.file = folder / RUNNING_FILE
        self.key = key
        started = running.get("started")
        self.started = started if isinstance(started, str) else now()
        self.attempts = int(_number(running, "attempts")) + 1
        self.environment: Mapping[str, Any] = {}
        self.notices: list[str] = []
        self.sampler: Sampler | None = None
        self._seconds_before = _number(running, "wall_seconds")
        self._peak_before = int(_number(running, "peak_rss_bytes"))
        self._start = self._written = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._start

    @property
    def peak_bytes(self) -> int:
        return max(self._peak_before, self.sampler.peak_bytes if self.sampler else 0)

    def tick(self) -> None:
        """Write now and then; a disk that is full meets the stage's own writing too, which says so."""
        if time.monotonic() - self._written >= HEARTBEAT_SECONDS:
            with suppress(BurnishError):
                self.write()

    def write(self) -> None:
        self._written = time.monotonic()
        write_object(
            self.file,
            {
                "key": self.key,
                "started": self.started,
                "attempts": self.attempts,
                "wall_seconds": self.seconds,
                "peak_rss_bytes": self.peak_bytes,
                "environment": self.environment,
                "notices": self.notices,
            },
        )


def _number(running: Mapping[str, Any], name: str) -> float:
    """A number that an earlier attempt has left; 0 where there is none."""
    value = running.get(name)
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18
    return float(value) if known else 0.0  # type: ignore[arg-type]


def now() -> str:
    """The time of day as ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
