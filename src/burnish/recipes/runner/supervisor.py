"""Runs a command, and lets nothing that it has started outlive whoever asked for it.

A run that is killed can no longer end its scripts. So this small process stands between: its standard input is a pipe
that only the run holds open, and the end of that pipe is the end of the run, however it came. On Linux also what a
script has put into a session of its own comes back to this process, and is ended with the rest.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

GRACE_SECONDS = 5.0
"""How long a script may take to end by itself once it is asked to."""
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(command: list[str]) -> None:
    """Run the command and end as it ends, by its exit status or its signal."""
    _adopt_orphans()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_standard_input, args=(child.pid,), daemon=True).start()
    status = child.wait()
    _end_all(child.pid)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def _end_with_standard_input(pid: int) -> None:
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    _end_all(pid)


def _end_all(pid: int) -> None:
    """Ask the command and all that it has started to end, and make them after a while."""
    _signal_group(pid, signal.SIGTERM)
    left = _descendants()
    for process in left:
        with suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(left, GRACE_SECONDS)
    if hasattr(signal, "SIGKILL"):
        _signal_group(pid, signal.SIGKILL)
    for process in _descendants():
        with suppress(psutil.Error):
            process.kill()


def _signal_group(pid: int, number: int) -> None:
    """Where there are process groups: also those of whom this process is no ancestor any more."""
    if hasattr(os, "killpg"):
        with suppress(OSError):
            os.killpg(pid, number)


def _descendants() -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process().children(recursive=True)
    return []


def _adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs; only Linux can."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
