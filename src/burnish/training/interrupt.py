"""Ctrl-C that lets the current step finish, so that nothing already computed is lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(KeyboardInterrupt):
    """Raised after a stop. what: what became of the work; the same command goes on from there."""

    def __init__(self, what: str = "stopped") -> None:
        super().__init__(f"{what}; run the same command to go on")
        self.what = what


class InterruptFlag:
    """True once the user asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested


def stop_signals() -> list[signal.Signals]:
    """The signals that ask this process to stop, without those that it was told to ignore, as `nohup` does."""
    found = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    return [number for number in found if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def deferred_interrupt(on_first: Callable[[], None] = lambda: None) -> Iterator[InterruptFlag]:
    """Within the block the first SIGINT, SIGTERM or SIGHUP only raises the flag; a second one stops at once.

    on_first: called from the signal's handler, to tell the user what is going on.
    """
    flag = InterruptFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if flag.requested:
            raise KeyboardInterrupt
        flag.requested = True
        on_first()

    previous = {number: signal.signal(number, on_signal) for number in stop_signals()}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
