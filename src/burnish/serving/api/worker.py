"""The engine in a thread of its own, asked from an event loop.

The thread alone touches the engine and the model. What it draws goes to the loop once a step; what the loop asks for
goes to the thread between two steps. Those who wait are served in turn by key, so that one with many requests does not
hold up another with one.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, cast

from burnish.errors import BurnishError
from burnish.generation.engine import Engine
from burnish.generation.request import Drawn, Request


class QueueFullError(Exception):
    """As many wait as may. own: whether all of them are of the one who asks, so that others are still let in."""

    def __init__(self, own: bool = False) -> None:
        super().__init__()
        self.own = own


class WorkerStoppedError(Exception):
    """The server is stopping, or a step has failed."""


class Ticket:
    """Requests that were made together: what is drawn for them, as it comes.

    made, began: when they came, and when the first of them was begun, by `time.monotonic`.
    """

    def __init__(self, worker: "Worker", requests: Sequence[Request], key: str) -> None:
        self.requests, self.key = list(requests), key
        self.made, self.began = time.monotonic(), cast("float | None", None)
        self._worker = worker
        self._drawn: asyncio.Queue[tuple[int, Drawn] | Exception] = asyncio.Queue()

    @property
    def waited(self) -> float | None:
        """Seconds before the first of them was begun; None where none was."""
        return None if self.began is None else self.began - self.made

    def close(self) -> None:
        """Forget what is left of it."""
        self._worker.close(self)

    def put(self, one: tuple[int, Drawn] | Exception) -> None:
        self._drawn.put_nowait(one)

    async def __aiter__(self) -> AsyncIterator[tuple[int, Drawn]]:
        """The place of a request among them and its next token, until all have ended."""
        left = len(self.requests)
        while left:
            one = await self._drawn.get()
            if isinstance(one, Exception):
                raise one
            left -= one[1].completion is not None
            yield one


class Worker:
    """Runs the engine that `make` makes; it makes another after a step that failed.

    rows, queue: requests that run, and that wait for it, at most; half of all that may be there at a key's own.
    """

    def __init__(self, make: Callable[[], Engine], *, rows: int, queue: int) -> None:
        self._make, self._rows, self._queue = make, rows, queue
        self._engine = make()
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pending: dict[str, deque[tuple[Ticket, int]]] = {}
        self._running: dict[int, tuple[Ticket, int]] = {}
        self._open: set[Ticket] = set()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.steps = 0

    @property
    def in_flight(self) -> int:
        """Requests that wait or run."""
        return sum(len(ticket.requests) for ticket in self._open)

    @property
    def running(self) -> int:
        """Requests that have begun."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that have not begun."""
        return max(0, self.in_flight - self.running)

    @property
    def full(self) -> bool:
        """Whether another request would be refused."""
        return self.in_flight >= self._rows + self._queue

    @property
    def cached_bytes(self) -> int:
        return self._engine.cached_bytes

    @property
    def healthy(self) -> bool:
        return self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        """Begin; called from the loop that will ask."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """End the thread; who still waits gets an error."""
        self._stopping = True
        self._commands.put(lambda: None)
        await asyncio.to_thread(self._thread.join)
        for ticket in self._open:
            ticket.put(WorkerStoppedError("the server is stopping"))

    def submit(self, requests: Sequence[Request], key: str = "", *, after: Ticket | None = None) -> Ticket:
        """Let requests run; close the ticket in the end. Raises QueueFullError, WorkerStoppedError.

        after: whose places they take, as the next turn of a conversation that is being answered: they are let in.
        """
        if not self.healthy:
            raise WorkerStoppedError("the server is stopping")
        if after is None:
            self._check_room(len(requests), key)
        else:
            self.close(after)
        ticket = Ticket(self, requests, key)
        self._open.add(ticket)
        waiting = [(ticket, place) for place in range(len(requests))]
        self._commands.put(lambda: self._pending.setdefault(key, deque()).extend(waiting))
        return ticket

    def _check_room(self, n: int, key: str) -> None:
        places = self._rows + self._queue
        if self.in_flight + n > places:
            raise QueueFullError
        if key and sum(len(one.requests) for one in self._open if one.key == key) + n > (places + 1) // 2:
            raise QueueFullError(own=True)

    def close(self, ticket: Ticket) -> None:
        """Forget what is left of a ticket."""
        if ticket in self._open:
            self._open.remove(ticket)
            self._commands.put(lambda: self._forget(ticket))

    async def call(self, function: Callable[[], Any]) -> Any:
        """Do something else with the model between two steps."""
        future: Future[Any] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:
                    future.set_exception(error)

        self._commands.put(run)
        return await asyncio.wrap_future(future)

    def _run(self) -> None:
        while not self._stopping:
            if not self._engine.busy and not self._pending:
                self._commands.get()()
            while not self._commands.empty():
                self._commands.get()()
            try:
                self._feed()
                if self._engine.busy:
                    self._deliver(self._engine.step())
                    self.steps += 1
            except Exception as error:
                self._engine = self._make()
                failed = {ticket for ticket, _ in self._running.values()}
                self._running.clear()
                self._tell([(ticket, error) for ticket in failed])

    def _feed(self) -> None:
        """Give the engine what it has room for, by turns of the keys."""
        while self._pending and len(self._running) < self._rows:
            key = next(iter(self._pending))
            waiting = self._pending.pop(key)
            ticket, place = waiting.popleft()
            if waiting:
                self._pending[key] = waiting  # behind the others
            try:
                number = self._engine.add(ticket.requests[place])
                ticket.began = ticket.began or time.monotonic()
            except (BurnishError, ValueError) as error:
                self._tell([(ticket, error)])
                continue
            self._running[number] = ticket, place

    def _deliver(self, drawn: Sequence[Drawn]) -> None:
        found: list[tuple[Ticket, tuple[int, Drawn] | Exception]] = []
        for one in drawn:
            ticket, place = self._running[one.request]
            if one.completion is not None:
                del self._running[one.request]
            found.append((ticket, (place, one)))
        self._tell(found)

    def _tell(self, found: Sequence[tuple[Ticket, tuple[int, Drawn] | Exception]]) -> None:
        def put() -> None:
            for ticket, one in found:
                ticket.put(one)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(put)

    def _forget(self, ticket: Ticket) -> None:
        for number in [number for number, (of, _) in self._running.items() if of is ticket]:
            del self._running[number]
            self._engine.remove(number)
        for key in list(self._pending):
            self._pending[key] = deque(one for one in self._pending[key] if one[0] is not ticket)
            if not self._pending[key]:
                del self._pending[key]
