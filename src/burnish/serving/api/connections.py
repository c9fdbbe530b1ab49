"""Connections that do not wait for ever: clients that are slow to ask, slow to read, or too many.

uvicorn closes a connection that is idle between two requests. What it leaves open is one whose request never comes
whole, and one whose answer is never read; each would hold its place, and its memory, as long as the client likes.
"""

import asyncio
import json
from typing import Any

from h11 import IDLE, SEND_RESPONSE, Data, EndOfMessage, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from burnish.serving.api.faults import ApiError
from burnish.serving.api.settings import Limits


def patient_for(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol, with an end to its patience."""

    class Patient(H11Protocol):
        """head: ends a connection whose request has not come whole. unread: one whose answer is not taken."""

        head: asyncio.TimerHandle | None = None
        unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                self._refuse(ApiError(503, "as many connections are open as may; try again later"))
            else:
                self._expect_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._expect_head()
            else:
                _end(self.head)
                self.head = None

        def connection_lost(self, exc: Exception | None) -> None:
            _end(self.head, self.unread)
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._expect_reading()

        def resume_writing(self) -> None:
            super().resume_writing()
            _end(self.unread)
            self.unread = None

        def timeout_keep_alive_handler(self) -> None:
            self._expect_reading()  # what is written and not taken would keep the closed connection open
            super().timeout_keep_alive_handler()

        def shutdown(self) -> None:
            self._expect_reading()
            super().shutdown()

        def send_400_response(self, msg: str) -> None:
            self._refuse(ApiError(400, "no valid HTTP: " + msg))

        def _expect_head(self) -> None:
            if self.head is None:
                self.head = self.loop.call_later(limits.head_seconds, self._head_is_late)

        def _expect_reading(self) -> None:
            if self.unread is None and not self.transport.is_closing():
                self.unread = self.loop.call_later(limits.write_seconds, self.transport.abort)

        def _head_is_late(self) -> None:
            self._refuse(ApiError(408, f"the request did not come within {limits.head_seconds:g} seconds"))

        def _refuse(self, fault: ApiError) -> None:
            """Answer without a request that could be handled, and close."""
            self._expect_reading()
            if self.conn.our_state in (IDLE, SEND_RESPONSE) and not self.transport.is_closing():
                body = json.dumps(fault.body).encode()
                headers = [
                    ("content-type", "application/json"),
                    ("content-length", str(len(body))),
                    ("connection", "close"),
                ]
                events: tuple[Any, ...] = (
                    Response(status_code=fault.status, headers=headers),
                    Data(data=body),
                    EndOfMessage(),
                )
                self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
            self.transport.close()

    return Patient


def _end(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
