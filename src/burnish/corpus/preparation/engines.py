"""Who runs a function on many tasks: this process, several, or a Ray cluster."""

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from burnish.errors import BurnishError

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


@dataclass
class Processes:
    """Several processes of this machine, each with one thread.

    They are started afresh, not forked: what this process has loaded, threads among it, would not survive a fork. They
    are started once for all calls of `map`, as many as there are tasks, and end with this object.
    """

    count: int
    _pool: ProcessPoolExecutor | None = field(default=None, init=False, repr=False, compare=False)

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield results as they come; the first error ends all."""
        if not tasks:
            return
        kept = os.environ.get("POLARS_MAX_THREADS")
        os.environ["POLARS_MAX_THREADS"] = kept or "1"
        try:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self.count, mp_context=multiprocessing.get_context("spawn"))
            try:
                for future in as_completed([self._pool.submit(function, task) for task in tasks]):
                    yield future.result()
            except BaseException:
                pool, self._pool = self._pool, None
                pool.shutdown(cancel_futures=True)
                raise
        finally:
            if kept is None:
                del os.environ["POLARS_MAX_THREADS"]


@dataclass(frozen=True)
class OnRay:
    """The workers of a Ray cluster, by Ray Data: that of `RAY_ADDRESS`, else one that is started on this machine.

    All of them must see the folders of documents, work and output under the same names. workers: of a cluster that is
    started; as many as there are cores if left out.
    """

    workers: int | None = None

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield results as they come; the first error ends all."""
        if not tasks:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use to its makers
        try:
            import ray
        except ImportError:
            raise BurnishError("--engine ray needs Ray; install it with `pip install 'burnish[ray]'`") from None
        started = not ray.is_initialized()
        if started:
            here: dict[str, Any] = (
                {} if "RAY_ADDRESS" in os.environ else {"num_cpus": self.workers, "include_dashboard": False}
            )
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **here)
        try:
            ray.data.DataContext.get_current().enable_progress_bars = False
            held = ray.put(list(tasks))
            numbers = ray.data.from_items(list(range(len(tasks))), override_num_blocks=len(tasks))
            for row in numbers.map(partial(_run_on_ray, function, held)).iter_rows():
                yield row["result"]
        except Exception as error:
            raise _mendable(error) from None
        finally:
            if started:
                ray.shutdown()


def _mendable(error: Exception) -> BaseException:
    """The error that a person can mend, out of those that Ray has put around it; else the whole of it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, BurnishError):
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    return error


def _run_on_ray(function: Callable[[Any], Any], held: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Run the function on one of the tasks that all workers share."""
    import ray

    return {"result": function(ray.get(held)[row["item"]])}
