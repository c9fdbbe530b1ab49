"""Who runs a function on many tasks: this process, or several."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs a function on each task, in any order and anywhere; functions and tasks can be pickled."""

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield results as they come."""


@dataclass(frozen=True)
class InProcess:
    """One task after another, here."""

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield results in the order of tasks."""
        yield from map(function, tasks)


@dataclass(frozen=True)
class Processes:
    """Several processes of this machine, each with one thread.

    They are started afresh, not forked: what this process has loaded, threads among it, would not survive a fork.
    """

    count: int

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield results as they come; the first error ends all."""
        if not tasks:
            return
        kept = os.environ.get("POLARS_MAX_THREADS")
        os.environ["POLARS_MAX_THREADS"] = kept or "1"
        try:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(self.count, len(tasks)), mp_context=context) as pool:
                futures = [pool.submit(function, task) for task in tasks]
                try:
                    for future in as_completed(futures):
                        yield future.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        finally:
            if kept is None:
                del os.environ["POLARS_MAX_THREADS"]
