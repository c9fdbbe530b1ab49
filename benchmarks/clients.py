"""Clients of a server that speaks OpenAI's interface, all in one event loop, without a library that would cost time."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.row import BenchmarkError, Config


@dataclass(frozen=True)
class Answer:
    """One streamed answer. first, last: seconds until its first and its last token."""

    text: str
    n_tokens: int
    first: float
    last: float


async def ask(port: int, body: Config) -> Answer:
    """Stream one completion over a connection of its own. Raises BenchmarkError for another status than 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    started = time.perf_counter()
    writer.write(f"{head}Connection: close\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    try:
        return await _read(reader, started)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, started: float) -> Answer:
    status = await reader.readline()
    if b" 200 " not in status:
        raise BenchmarkError(f"the server answered {status!r} {(await reader.read())[-500:]!r}")
    text, n_tokens, first, last = "", 0, 0.0, 0.0
    async for line in reader:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if "error" in event:
            raise BenchmarkError(f"the server answered {event['error']}")
        if event.get("choices"):
            last = time.perf_counter() - started
            first = first or last
            text += event["choices"][0]["text"] or ""
        n_tokens = (event.get("usage") or {}).get("completion_tokens", n_tokens)
    return Answer(text, n_tokens, first, last)


def load(port: int, bodies: Sequence[Config], n_clients: int) -> tuple[list[Answer], float]:
    """All answers in order, and the seconds that they took; each client asks again as soon as it has its answer."""

    async def run() -> list[Answer]:
        places = iter(range(len(bodies)))
        found: dict[int, Answer] = {}

        async def client() -> None:
            for place in places:
                found[place] = await ask(port, bodies[place])

        async with asyncio.TaskGroup() as group:
            for _ in range(n_clients):
                group.create_task(client())
        return [found[place] for place in range(len(bodies))]

    started = time.perf_counter()
    answers = asyncio.run(run())
    return answers, time.perf_counter() - started
