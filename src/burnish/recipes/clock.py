"""Wall time and peak memory of a stage, over all its attempts."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from burnish.recipes.memory import Sampler
from burnish.recipes.plan import PlannedStage
from burnish.recipes.state import RUNNING_FILE, write_object

HEARTBEAT_SECONDS = 5.0


class Clock:
    """Kept in `running.json`, so that a kill loses a few seconds of it at most."""

    def __init__(self, stage: PlannedStage, running: Mapping[str, Any]) -> None:
        self.file = stage.folder / RUNNING_FILE
        self.key = stage.key
        self.started = running.get("started") or now()
        self.attempts = int(running.get("attempts", 0)) + 1
        self.sampler: Sampler | None = None
        self._seconds_before = float(running.get("wall_seconds", 0.0))
        self._peak_before = int(running.get("peak_rss_bytes", 0))
        self._start = self._written = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._start

    @property
    def peak_bytes(self) -> int:
        return max(self._peak_before, self.sampler.peak_bytes if self.sampler else 0)

    def tick(self) -> None:
        if time.monotonic() - self._written >= HEARTBEAT_SECONDS:
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
            },
        )


def now() -> str:
    """The time of day as ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
