"""What surrounds every endpoint: who may ask, faults that become answers, time that is over, clients that go."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from burnish.serving.api.app import Api
from burnish.serving.api.events import EventStream, disconnected
from burnish.serving.api.faults import ApiError
from burnish.serving.api.records import Record
from burnish.serving.api.worker import WorkerStoppedError

Result = TypeVar("Result")
Endpoint = Callable[[Api, Request, Record], Awaitable[Response]]


def recorded(api: Api, path: str, handle: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that asks for a key, turns faults into answers, and is logged.

    path: as routes name it, so that what a client wrote into it makes no counter of its own.
    """

    async def run(request: Request) -> Response:
        record = Record(uuid.uuid4().hex, path)
        try:
            api.door.check_host(request)
            api.door.check_key(request, record)
            api.door.check_framing(request)
            response = await handle(api, request, record)
        except Exception as error:
            fault = fault_of(error, api, record)
            headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
            if fault.status == 401:
                headers["WWW-Authenticate"] = "Bearer"
            if fault.closes:
                headers["Connection"] = "close"
            record.ended_by = fault.message
            response = JSONResponse(fault.body, fault.status, headers={"X-Request-Id": record.id, **headers})
        if not isinstance(response, EventStream):  # which says so itself once it has ended
            api.records.ended(record, response.status_code)
        return response

    return run


async def within(api: Api, request: Request, work: Awaitable[Result]) -> Result:
    """What `work` gives, unless the client goes or the time is over."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, timeout=api.settings.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientDisconnect
        raise TimeoutError
    finally:
        for one in (task, gone):
            one.cancel()


def fault_of(error: Exception, api: Api, record: Record) -> ApiError:
    """What a client is told of an error; one that is the server's own is logged, and only its place is told."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, TimeoutError):
        return ApiError(504, f"the answer took more than {api.settings.limits.seconds:g} seconds", code="timeout")
    if isinstance(error, ClientDisconnect):
        return ApiError(499, "the client has gone")
    if isinstance(error, WorkerStoppedError):
        return ApiError(503, str(error), retry_after=30)
    api.records.failed(record, error)
    return ApiError(500, f"the server failed; request {record.id} in its log", code="internal_error")


async def refused(_request: Request, error: HTTPException) -> Response:
    """What Starlette itself refuses (no such path or method), in the same form."""
    said = {
        404: "no such path; expected /v1/chat/completions, /v1/completions, /v1/embeddings or /v1/models",
        405: "no such method here",
    }
    fault = ApiError(error.status_code, said.get(error.status_code, str(error.detail)))
    return JSONResponse(fault.body, error.status_code, headers=error.headers)
