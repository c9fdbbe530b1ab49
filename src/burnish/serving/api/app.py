"""What a server is made of: the model, the thread that runs it, and what is kept and told of its requests."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from burnish.datasets.feedback import Feedback
from burnish.generation.drafts import Speculation
from burnish.generation.engine import Engine
from burnish.generation.request import Request
from burnish.serving.api.answers import Served
from burnish.serving.api.door import Door
from burnish.serving.api.faults import ApiError
from burnish.serving.api.judging import Judging
from burnish.serving.api.metrics import Metrics
from burnish.serving.api.records import Record, Records
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
    ) -> None:
        """follow: runs as long as the server does, and may `change` the model. encoder: what gives vectors of texts."""
        self.served, self.settings, self.encoder = served, served.settings, encoder
        self.door = Door(self.settings)
        self.created = int(time.time())
        self._follow = follow
        self.worker = self._worker(served)
        self.metrics = Metrics(lambda: self.worker)
        self.records = Records(self.metrics, log, contents=self.settings.log_contents)
        self.judging = Judging(None if self.settings.feedback is None else Feedback.open(self.settings.feedback))

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

    def submit(self, requests: Sequence[Request], record: Record) -> Ticket:
        """Let requests run. Raises ApiError where too many wait, or the server is stopping."""
        try:
            return self.worker.submit(requests, record.key)
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
        self.worker.start()
        following = None if self._follow is None else asyncio.ensure_future(self._follow(self))
        try:
            yield
        finally:
            if following is not None:
                following.cancel()
            await self.worker.stop()
            self.judging.close()
