"""Who runs a function on many tasks: this process, several, or a Ray cluster."""

import logging
import multiprocessing
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from burnish.errors import BurnishError

Task = TypeVar("Task")
Result = TypeVar("Result")


class TaskRunner(Protocol):
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


@dataclass(eq=False)
class OnRay:
    """The workers of a Ray cluster: that of `RAY_ADDRESS`, else one that is started on this machine.

    All of them must see the folders of documents, work and output under the same names. workers: of a cluster that is
    started; as many as there are cores if left out. It is started once for all calls of `map`, and ends with this
    object.

    Shards are Ray's own tasks, not rows of Ray Data: nothing but a shard's name goes to a worker, so there are no
    blocks to budget memory for, which Ray Data does, one task at a time, before it runs several.
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
        if not ray.is_initialized():
            here: dict[str, Any] = (
                {} if "RAY_ADDRESS" in os.environ else {"num_cpus": self.workers, "include_dashboard": False}
            )
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **here)
            except Exception as error:
                raise BurnishError(f"--engine ray: Ray cannot be started or reached: {error}") from error
            weakref.finalize(self, ray.shutdown)
        try:
            remote = ray.remote(num_cpus=1)(function)
            pending = [remote.remote(task) for task in tasks]
            while pending:
                done, pending = ray.wait(pending)
                yield from ray.get(done)
        except Exception as error:
            raise _mendable(error) from None


def _mendable(error: Exception) -> BaseException:
    """The error that a person can mend, out of those that Ray has put around it; else the whole of it."""
    found: BaseException = error
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, BurnishError):
            found = inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    return found
