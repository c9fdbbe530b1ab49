"""What a server is made of: the model, the thread that runs it, and what is kept and told of its requests."""

import asyncio
import copy
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from burnish.datasets.feedback import Feedback
from burnish.generation.drafts import Speculation
from burnish.generation.engine import Engine
from burnish.generation.request import Request
from burnish.serving.api.door import Door
from burnish.serving.api.faults import ApiError
from burnish.serving.api.judging import Judging
from burnish.serving.api.metrics import Metrics
from burnish.serving.api.records import Record, Records
from burnish.serving.api.served import Served
from burnish.serving.api.vectors import ServedEncoder
from burnish.serving.api.worker import QueueFullError, Ticket, Worker, WorkerStoppedError


class Api:
    """A served model; `burnish.serving.api.routes.application` puts it behind HTTP."""

    def __init__(
        self,
        served: Served,
        log: Callable[[str], None] | None = None,
        follow: Callable[["Api"], Awaitable[None]] | None = None,
        encoder: ServedEncoder | None = None,
        versions: Sequence[Served] = (),
    ) -> None:
        """follow: runs as long as the server does, and may `change` the model. encoder: what gives vectors of texts.

        versions: further models, each with settings of its own name; `shares` of the model's settings names them.
        """
        self.served, self.settings, self.encoder = served, served.settings, encoder
        self.door = Door(self.settings)
        self.created = int(time.time())
        self._follow = follow
        self.worker = self._worker(served)
        self.versions: dict[str, Api] = {}
        self.tool_threads = ThreadPoolExecutor(self.settings.limits.rows, thread_name_prefix="tools")
        self.metrics = Metrics(lambda: self.workers)
        self.records = Records(self.metrics, log, contents=self.settings.log_contents)
        self.judging = Judging(None if self.settings.feedback is None else Feedback.open(self.settings.feedback))
        self.versions = {one.settings.name: self._beside(one) for one in versions}

    @property
    def workers(self) -> list[Worker]:
        """Those that answer now: the model's and its versions'."""
        return [self.worker, *(one.worker for one in self.versions.values())]

    def _beside(self, served: Served) -> "Api":
        """A version, with all in common but the model."""
        beside = copy.copy(self)
        beside.served, beside.settings, beside.worker = served, served.settings, self._worker(served)
        return beside

    def version(self, model: str, who: str) -> "Api":
        """The version that answers: the one that is asked for by its name, else by the shares.

        who: the same always gets the same version while the shares stay as they are.
        """
        if model in self.versions:
            return self.versions[model]
        place = int.from_bytes(hashlib.sha256(who.encode(errors="replace")).digest()[:8]) / 2**64
        if model == self.settings.name:
            for name, share in self.settings.shares.items():
                place -= share
                if place < 0:
                    return self.versions[name]
        return self

    def _worker(self, served: Served) -> Worker:
        limits = self.settings.limits

        def make() -> Engine:
            return Engine(
                served.decoder,
                tokenizer=served.tokenizer,
                max_rows=limits.rows,
                cache_bytes=limits.cache_bytes,
                prefill_tokens=limits.prefill_tokens,
                speculation=None if served.drafter is None else Speculation(drafter=served.drafter()),
                adapters=served.beside,
            )

        return Worker(make, rows=limits.rows, queue=limits.queue)

    async def change(self, served: Served) -> None:
        """Answer by another model from now on; what has begun is finished by the model that it began with."""
        worker = self._worker(served)
        worker.start()
        old, self.worker, self.served = self.worker, worker, served
        while old.in_flight:
            await asyncio.sleep(0.05)
        await old.stop()

    def called(self, model: str) -> str:
        """What the model that answers is called: its adapter, or the version."""
        return model if model in self.settings.adapters else self.settings.name

    def submit(
        self, requests: Sequence[Request], record: Record, worker: Worker | None = None, after: Ticket | None = None
    ) -> Ticket:
        """Let requests run. Raises ApiError where too many wait, or the server is stopping.

        worker: that of the model in force if left out. after: whose places they take.
        """
        try:
            return (worker or self.worker).submit(requests, record.key, after=after)
        except QueueFullError as error:
            whose = "of this key " if error.own else ""
            raise ApiError(
                429, f"as many requests {whose}wait as may; try again later", code="queue_full", retry_after=5
            ) from None
        except WorkerStoppedError as error:
            raise ApiError(503, str(error), retry_after=30) from error

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the model as long as the context is open."""
        for one in self.workers:
            one.start()
        following = None if self._follow is None else asyncio.ensure_future(self._follow(self))
        try:
            yield
        finally:
            if following is not None:
                following.cancel()
            for one in self.workers:
                await one.stop()
            self.judging.close()
            self.tool_threads.shutdown(wait=False, cancel_futures=True)
