"""Peak memory of a stage: this process and its children, sampled by a thread."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import psutil

SAMPLE_SECONDS = 0.25


class Sampler:
    """Context manager that follows resident memory and calls `on_sample` at every sample.

    A peak between two samples is not lost for this process: the kernel's own high-water mark counts as well when it
    rose meanwhile. Memory shared between processes is counted in each of them.
    """

    def __init__(self, on_sample: Callable[[], None] = lambda: None) -> None:
        self.peak_bytes = 0
        self._on_sample = on_sample
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="memory sampler", daemon=True)
        self._high_water = _high_water_bytes()

    def __enter__(self) -> "Sampler":
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        if _high_water_bytes() > self._high_water:
            self.peak_bytes = max(self.peak_bytes, _high_water_bytes())

    def _follow(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            # A failed sample must not end all that come after it.
            with suppress(psutil.Error, OSError):
                self._sample()
            self._on_sample()

    def _sample(self) -> None:
        total = self._process.memory_info().rss
        for child in self._children():
            try:
                total += child.memory_info().rss
            except psutil.Error:
                continue  # It ended between being listed and being asked.
        self.peak_bytes = max(self.peak_bytes, total)

    def _children(self) -> list[psutil.Process]:
        try:
            return self._process.children(recursive=True)
        except psutil.Error:
            return []


def _high_water_bytes() -> int:
    """The most memory this process has ever held; the kernel counts in KiB, on macOS in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
