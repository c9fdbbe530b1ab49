"""Server-sent events of answers that are being written.

https://html.spec.whatwg.org/multipage/server-sent-events.html. sse-starlette does the same and more; what it does for
each event costs a third of all that is done for a token outside the engine.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

PING_SECONDS = 15.0
"""A comment is sent so often where nothing else is, so that nobody between server and client takes it for dead."""


async def disconnected(receive: Receive) -> None:
    """Wait until the client goes."""
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """Events by their data, one line each, until they end or the client goes; they are closed in either case."""

    def __init__(self, events: AsyncGenerator[str, None], headers: Mapping[str, str]) -> None:
        more = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers={**more, **headers}, media_type="text/event-stream")
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        tasks = {asyncio.ensure_future(self._write(send)), asyncio.ensure_future(disconnected(receive))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._events.aclose()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        said = True

        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async def ping() -> None:
            nonlocal said
            while True:
                said = False
                await asyncio.sleep(PING_SECONDS)
                if not said:
                    await write(": still here\n\n")

        pinging = asyncio.ensure_future(ping())
        try:
            async for data in self._events:
                said = True
                await write(f"data: {data}\n\n")
        finally:
            pinging.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
