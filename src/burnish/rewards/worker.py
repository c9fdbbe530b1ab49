"""A process that can be killed, for what may hang or crash: the parent's side of it.

Requests and replies are length-prefixed JSON, never pickle: a reply is data even when the process was subverted. The
worker lets the kernel end it once it has computed for too long; the clock on the wall is the backstop on this side.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.rewards.sql_worker import read_frame, write_frame

# What the kernel ends a process with that has computed for too long; Windows has no such limits.
_OUT_OF_TIME = {-getattr(signal, name) for name in ("SIGPROF", "SIGXCPU") if hasattr(signal, name)}
# What Python and the dynamic linker need to start; it has no business with the rest of the environment.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


def wall_limit(timeout_seconds: float) -> float:
    """Seconds on the clock after which a request of so much processor time is given up, for a dozen busy neighbours."""
    return 12 * timeout_seconds + 1


class ScriptWorker:
    """A process that runs a script, with threads that write to it and read from it, so that waiting can have an end.

    script: reads and writes the frames of `sql_worker`. environment: further variables of it.
    """

    def __init__(self, script: Path, environment: Mapping[str, str] | None = None) -> None:
        passed = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._process = subprocess.Popen(
            # -P: the folder of the script must not shadow modules of the standard library.
            [sys.executable, "-P", str(script.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=passed | dict(environment or {}),
        )
        self._hung = False
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # the process ended
            while (request := self._requests.get()) is not None:
                write_frame(self._process.stdin, request)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while (reply := read_frame(self._process.stdout)) is not None:
                self._replies.put(reply)
        self._replies.put(None)

    def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any] | None:
        """The reply to `request`; None when the process ended or the time is over, after which it must be killed."""
        self._requests.put(request)
        try:
            return self._replies.get(timeout=timeout_seconds)
        except queue.Empty:
            self._hung = True
            return None

    def end(self) -> str:
        """Why there was no reply: the worker "hung", the kernel ended what was too "slow", or the worker "crashed"."""
        if self._hung:
            return "hung"
        with contextlib.suppress(subprocess.TimeoutExpired):  # the pipe is closed, so the process is about to end
            self._process.wait(1)
        return "slow" if self._process.returncode in _OUT_OF_TIME else "crashed"

    def kill(self) -> None:
        """End the process and wait for it."""
        self._process.kill()
        self._process.wait()
        self._requests.put(None)
        for stream, thread in zip((self._process.stdin, self._process.stdout), self._threads, strict=True):
            # Its pipe is broken, so the thread ends, unless a forked process holds the pipe open: then let it wait.
            thread.join(1)
            if stream is not None and not thread.is_alive():
                with contextlib.suppress(OSError):
                    stream.close()
