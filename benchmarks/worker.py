"""The inside of a measuring process: its command line, its clock, its peak memory.

Nothing here imports torch before the side does, so that a side holds in memory only what it needs.
"""

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.row import BenchmarkError, Config

Side = Callable[[Config], Config]


def main(**sides: Side) -> None:
    """Run the side that the command line names and print its answer and peak memory as one JSON line.

    python -m benchmarks.decode ours '{"folder": "/tmp/bench", "threads": 2, ...}'
    """
    name, config = sys.argv[1], json.loads(sys.argv[2])
    if name not in sides:
        sys.exit(f"no side '{name}'; expected one of: {', '.join(sides)}")
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)  # libraries print their progress on standard output, where only the answer belongs
        answered = _answered(sides[name], config)
        print(json.dumps({"peak_rss_bytes": peak_rss_bytes()} | answered), file=answer)


def _answered(side: Side, config: Config) -> Config:
    """What a side answers. Ends with a line, not a traceback, where something is not installed or not there."""
    try:
        return side(config)
    except BenchmarkError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("benchmarks", "burnish"):  # one that has moved, not one to be installed
            raise
        sys.exit(f"{package} is not installed: `make .venv/.installed-slow` brings what rows are measured beside")


def peak_rss_bytes() -> int:
    """The most memory that this process has ever held, loading included.

    Linux carries `ru_maxrss` over from the process that started this one, so there the kernel's own figure for
    this address space, VmHWM, is read: the same high-water mark, without the inheritance.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Stopwatch:
    """Seconds from `start` to `stop`, and what other processes kept the machine busy with meanwhile.

    children: the work is done by processes below this one: their time is no noise, and memory is what all of them held
    together, both looked at several times a second.
    """

    def __init__(self, *, children: bool = False) -> None:
        self._children = _Children() if children else None

    def start(self) -> None:
        if self._children is not None:
            self._children.start()
        self._busy, self._own = _busy_seconds(), self._own_seconds()
        self._started = time.perf_counter()

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self._started
        others = (_busy_seconds() - self._busy) - (self._own_seconds() - self._own)
        self.busy_elsewhere = max(0.0, others / self.seconds)
        """Cores that others used on average (stolen time of a virtual machine included): noise, when not near 0."""
        if self._children is not None:
            self._children.ended.set()
            self._children.join()

    def answer(self, amount: float) -> Config:
        """The rate of `amount` units of work, and the circumstances."""
        answered = {
            "value": amount / self.seconds,
            "seconds": round(self.seconds, 3),
            "busy_elsewhere": round(self.busy_elsewhere, 2),
        }
        return answered | ({} if self._children is None else {"peak_rss_bytes": self._children.peak})

    def _own_seconds(self) -> float:
        if self._children is None:
            return time.process_time()
        return time.process_time() + self._children.seconds()


class _Children(threading.Thread):
    """Watches what this process and those below it hold together; pages that they share count once for each.

    Their time is looked at too, since the kernel adds it to their parent's only when they end: a worker that a fork
    server started, or that lives on, would count as somebody else's.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.peak = 0
        self._me = psutil.Process()
        self._seconds: dict[tuple[int, float], float] = {}

    def run(self) -> None:
        while not self.ended.wait(0.2):
            self._look()

    def seconds(self) -> float:
        """Processor time of all processes below this one that were seen so far, ended ones included."""
        self._look()
        return sum(list(self._seconds.values()))  # a copy: the thread adds to it

    def _look(self) -> None:
        total = self._me.memory_info().rss
        for process in self._me.children(recursive=True):
            with suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                self._seconds[process.pid, process.create_time()] = times.user + times.system
                total += process.memory_info().rss
        self.peak = max(self.peak, total)


def _busy_seconds() -> float:
    """Seconds that all cores together have worked since the machine started."""
    times = psutil.cpu_times()._asdict()
    # The kernel counts the time of guests in `user` and `nice` already.
    return float(sum(value for name, value in times.items() if name not in ("idle", "iowait", "guest", "guest_nice")))


def use_processor(threads: int, *, keep_freed_memory: bool) -> None:
    """What `burnish run` does before it computes; a peer gets the allocator's settings where they make it faster."""
    from burnish import hardware

    hardware.set_threads(threads)
    if keep_freed_memory:
        hardware.keep_freed_memory()
