"""A library that scores answers, in a process of its own that is killed when it hangs."""

import importlib.util
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import burnish
from burnish.errors import BurnishError
from burnish.rewards import scorer_worker
from burnish.rewards.worker import ScriptWorker, wall_limit

_START_SECONDS = 600.0
"""On the clock: a library of many modules, on a machine under load."""
Library = Literal["math-verify", "reasoning-gym"]


def require(library: Library) -> None:
    """Raise BurnishError where a library is not installed."""
    if importlib.util.find_spec(library.replace("-", "_")) is None:
        raise BurnishError(f"scoring by {library} needs it: pip install 'burnish[reasoning]'")


class Scorer:
    """Asks a library; the process starts with the first request, and again after every one that it did not survive.

    timeout_seconds: processor time of one request. killed: how many processes had to be killed. Calls from several
    threads are taken one at a time. Use as a context manager, or call `close`.
    """

    def __init__(self, library: Library, *, timeout_seconds: float = 5.0) -> None:
        require(library)
        self.library, self.timeout_seconds, self.killed = library, timeout_seconds, 0
        self._worker: ScriptWorker | None = None
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any], *, timeout_seconds: float | None = None) -> dict[str, Any] | None:
        """The reply to a request; None where it took longer than it may, or the process crashed.

        Raises BurnishError where the library cannot be started.
        """
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        with self._lock:
            if self._worker is None:
                self._worker = self._start()
            reply = self._worker.ask(request | {"timeout_seconds": seconds}, wall_limit(seconds))
            if reply is None:
                self.killed += 1
                self._stop()
        return reply

    def close(self) -> None:
        """End the process. A later request starts another one."""
        with self._lock:
            self._stop()

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> ScriptWorker:
        packages = str(Path(burnish.__file__).parents[1])
        worker = ScriptWorker(
            Path(scorer_worker.__file__),
            {
                "PYTHONPATH": os.pathsep.join(filter(None, [packages, os.environ.get("PYTHONPATH")])),
                "PYTHONHASHSEED": "0",
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        reply = worker.ask({"library": self.library}, _START_SECONDS)
        if reply is None or "error" in reply:
            worker.kill()
            reason = "its process did not start" if reply is None else reply["error"]
            raise BurnishError(f"{self.library} cannot be used: {reason}")
        return worker

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None
