"""The signals that end a run."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from burnish.training.interrupt import stop_signals


@contextmanager
def ending_is_interrupt() -> Iterator[None]:
    """Make SIGTERM, which schedulers send, and SIGHUP, of a closed terminal, stop a run as cleanly as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ending = [number for number in stop_signals() if number != signal.SIGINT]
    previous = {number: signal.signal(number, interrupt) for number in ending}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
