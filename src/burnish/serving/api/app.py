"""The HTTP interface: who may ask, what is read of a request, and how its answer is sent."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from burnish.generation.engine import Engine
from burnish.serving.api.answers import Choices, PromptToken, Served, score_prompt, usage
from burnish.serving.api.bodies import Chat, Completion
from burnish.serving.api.door import Door
from burnish.serving.api.faults import ApiError
from burnish.serving.api.metrics import Metrics
from burnish.serving.api.protocol import ChatRequest, CompletionRequest
from burnish.serving.api.records import Record, Records
from burnish.serving.api.worker import QueueFullError, Ticket, Worker, WorkerStoppedError

Result = TypeVar("Result")


class Api:
    """A served model's endpoints."""

    def __init__(self, served: Served, log: Callable[[str], None] | None = None) -> None:
        self.served, self.settings = served, served.settings
        limits = self.settings.limits
        self._door = Door(self.settings)
        self._created = int(time.time())

        def make() -> Engine:
            return Engine(
                served.decoder,
                tokenizer=served.tokenizer,
                max_rows=limits.rows,
                cache_bytes=limits.cache_bytes,
                prefill_tokens=limits.prefill_tokens,
            )

        self.worker = Worker(make, rows=limits.rows, queue=limits.queue)
        self.metrics = Metrics(self.worker)
        self._records = Records(self.metrics, log, contents=self.settings.log_contents)

    def application(self) -> Starlette:
        """The ASGI application."""
        middleware = []
        if self.settings.origins:
            middleware.append(
                Middleware(
                    CORSMiddleware,
                    allow_origins=list(self.settings.origins),
                    allow_methods=["GET", "POST"],
                    allow_headers=["Authorization", "Content-Type"],
                )
            )
        routes = [
            Route("/v1/chat/completions", self._recorded(self.chat), methods=["POST"]),
            Route("/v1/completions", self._recorded(self.complete), methods=["POST"]),
            Route("/v1/models", self._recorded(self.models), methods=["GET"]),
            Route("/v1/models/{model:path}", self._recorded(self.model), methods=["GET"]),
            Route("/metrics", self._recorded(self.show_metrics), methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {HTTPException: _refused}
        return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self.worker.start()
        try:
            yield
        finally:
            await self.worker.stop()

    async def health(self, _request: Request) -> Response:
        """Whether the engine runs."""
        ok = self.worker.healthy
        return JSONResponse({"status": "ok" if ok else "stopping"}, 200 if ok else 503)

    async def show_metrics(self, _request: Request, _record: Record) -> Response:
        return PlainTextResponse(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def models(self, _request: Request, _record: Record) -> Response:
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request, _record: Record) -> Response:
        self._door.check_model(request.path_params["model"])
        return JSONResponse(self._model())

    async def chat(self, request: Request, record: Record) -> Response:
        """Answer a conversation."""
        asked = await self._door.read(request, ChatRequest, record)
        prompt = self.served.chat_prompt(asked)
        wanted = asked.max_completion_tokens or asked.max_tokens
        requests = self.served.requests(asked, [prompt], wanted, asked.top_logprobs or 0)
        bodies = Chat(self.served.tokenizer, bool(asked.logprobs))
        return await self._answer(request, record, asked, [prompt], bodies, self._submit(requests, record))

    async def complete(self, request: Request, record: Record) -> Response:
        """Go on from texts or tokens."""
        asked = await self._door.read(request, CompletionRequest, record)
        prompts = self.served.text_prompts(asked)
        wanted = asked.max_tokens
        requests = self.served.requests(asked, prompts, wanted or 1, asked.logprobs or 0)
        echoed: list[str] | None = None
        scored: list[list[PromptToken]] | None = None
        if asked.echo:
            echoed = [self.served.tokenizer.decode(one.prompt) for one in requests]
            if asked.logprobs is not None:
                by_prompt = [await self._scored(request, prompt, asked.logprobs) for prompt in prompts]
                scored = [one for one in by_prompt for _ in range(asked.n)]
        bodies = Completion(self.served.tokenizer, asked.logprobs, echoed=echoed, scored=scored)
        ticket = self._submit(requests, record) if wanted != 0 else None
        return await self._answer(request, record, asked, prompts, bodies, ticket, n_choices=len(requests))

    def _submit(self, requests: Any, record: Record) -> Ticket:
        try:
            return self.worker.submit(requests, record.key)
        except QueueFullError:
            raise ApiError(
                429, "as many requests wait as may; try again later", code="queue_full", retry_after=5
            ) from None
        except WorkerStoppedError as error:
            raise ApiError(503, str(error), retry_after=30) from error

    async def _scored(self, request: Request, prompt: list[int], alternatives: int) -> list[PromptToken]:
        decoder = self.served.decoder
        found: list[PromptToken] = await self._within(
            request, self.worker.call(lambda: score_prompt(decoder, prompt, alternatives))
        )
        return found

    async def _answer(
        self,
        request: Request,
        record: Record,
        asked: ChatRequest | CompletionRequest,
        prompts: list[list[int]],
        bodies: Chat | Completion,
        ticket: Ticket | None,
        *,
        n_choices: int = 0,
    ) -> Response:
        head = {"id": f"{bodies.prefix}-{record.id}", "created": int(time.time()), "model": self.settings.name}
        record.prompt_tokens = sum(map(len, prompts))
        if ticket is None:
            choices = [bodies.choice(place, None) for place in range(n_choices)]  # type: ignore[arg-type]
            return JSONResponse({**head, "object": bodies.kind, "choices": choices, "usage": usage(prompts, [])})
        written = Choices(ticket, self.served.tokenizer)
        if asked.stream:
            with_usage = asked.stream_options is not None and asked.stream_options.include_usage
            events = self._events(record, prompts, bodies, ticket, written, head, with_usage)
            return EventSourceResponse(events, ping=15, sep="\n", headers={"X-Request-Id": record.id})
        try:
            await self._within(request, self._written(written, record))
            record.contents["answers"] = [choice.text.text for choice in written.all]
        finally:
            self.worker.close(ticket)
            self._records.counted(record, usage(prompts, written.all))
        choices = [bodies.choice(place, choice) for place, choice in enumerate(written.all)]
        return JSONResponse(
            {**head, "object": bodies.kind, "choices": choices, "usage": usage(prompts, written.all)},
            headers={"X-Request-Id": record.id},
        )

    async def _written(self, written: Choices, record: Record) -> None:
        async for _ in written.pieces():
            self._records.first_token(record)

    async def _events(
        self,
        record: Record,
        prompts: list[list[int]],
        bodies: Chat | Completion,
        ticket: Ticket,
        written: Choices,
        head: dict[str, Any],
        with_usage: bool,
    ) -> AsyncIterator[dict[str, str]]:
        def event(choices: list[dict[str, Any]], **more: Any) -> dict[str, str]:
            return {"data": json.dumps({**head, "object": bodies.chunk_kind, "choices": choices, **more})}

        record.ended_by = "disconnected"
        try:
            async with asyncio.timeout(self.settings.limits.seconds):
                for place in range(len(written.all)):
                    if (first := bodies.first(place)) is not None:
                        yield event([first])
                async for piece in written.pieces():
                    self._records.first_token(record)
                    if piece.text or piece.drawn or piece.finish_reason:
                        yield event([bodies.chunk(piece.place, piece.text, piece.drawn, piece.finish_reason)])
            record.ended_by = ""
            if with_usage:
                yield event([], usage=usage(prompts, written.all))
            yield {"data": "[DONE]"}
        except Exception as error:
            fault = self._fault(error, record)
            record.ended_by = fault.message
            yield {"data": json.dumps(fault.body)}
        finally:
            self.worker.close(ticket)
            self._records.counted(record, usage(prompts, written.all))
            record.contents["answers"] = [choice.text.text for choice in written.all]
            self._records.ended(record, 200)

    def _model(self) -> dict[str, Any]:
        return {
            "id": self.settings.name,
            "object": "model",
            "created": self._created,
            "owned_by": "burnish",
            "max_model_len": self.served.context,
        }

    async def _within(self, request: Request, work: Awaitable[Result]) -> Result:
        """What `work` gives, unless the client goes or the time is over."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({task, gone}, timeout=self.settings.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if gone.done():
                raise ClientDisconnect
            raise TimeoutError
        finally:
            for one in (task, gone):
                one.cancel()

    def _recorded(
        self, handle: Callable[[Request, Record], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that asks for a key, turns faults into answers, and is logged."""

        async def run(request: Request) -> Response:
            record = Record(uuid.uuid4().hex, request.url.path)
            try:
                self._door.check_host(request)
                self._door.check_key(request, record)
                response = await handle(request, record)
            except Exception as error:
                fault = self._fault(error, record)
                headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
                if fault.status == 401:
                    headers["WWW-Authenticate"] = "Bearer"
                record.ended_by = fault.message
                response = JSONResponse(fault.body, fault.status, headers={"X-Request-Id": record.id, **headers})
            if not isinstance(response, EventSourceResponse):  # which says so itself once it has ended
                self._records.ended(record, response.status_code)
            return response

        return run

    def _fault(self, error: Exception, record: Record) -> ApiError:
        if isinstance(error, ApiError):
            return error
        if isinstance(error, TimeoutError):
            return ApiError(504, f"the answer took more than {self.settings.limits.seconds:g} seconds", code="timeout")
        if isinstance(error, ClientDisconnect):
            return ApiError(499, "the client has gone")
        if isinstance(error, WorkerStoppedError):
            return ApiError(503, str(error), retry_after=30)
        self._records.failed(record, error)
        return ApiError(500, f"the server failed; request {record.id} in its log", code="internal_error")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(_request: Request, error: HTTPException) -> Response:
    """What Starlette itself refuses (no such path or method), in the same form."""
    said = {
        404: "no such path; expected /v1/chat/completions, /v1/completions or /v1/models",
        405: "no such method here",
    }
    fault = ApiError(error.status_code, said.get(error.status_code, str(error.detail)))
    return JSONResponse(fault.body, error.status_code, headers=error.headers)
