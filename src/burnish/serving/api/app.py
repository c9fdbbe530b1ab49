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

from burnish.datasets.feedback import Feedback
from burnish.errors import BurnishError
from burnish.generation.engine import Engine
from burnish.serving.api.answers import Choices, PromptToken, Served, score_prompt, usage
from burnish.serving.api.bodies import Chat, Completion
from burnish.serving.api.door import Door
from burnish.serving.api.faults import ApiError
from burnish.serving.api.judging import AfterChat, Judging, Opinion
from burnish.serving.api.metrics import Metrics
from burnish.serving.api.page import page_routes
from burnish.serving.api.protocol import ChatRequest, CompletionRequest, EmbeddingRequest
from burnish.serving.api.records import Record, Records
from burnish.serving.api.vectors import ServedEncoder
from burnish.serving.api.worker import QueueFullError, Ticket, Worker, WorkerStoppedError

Result = TypeVar("Result")


class Api:
    """A served model's endpoints."""

    def __init__(
        self,
        served: Served,
        log: Callable[[str], None] | None = None,
        follow: Callable[["Api"], Awaitable[None]] | None = None,
        encoder: ServedEncoder | None = None,
    ) -> None:
        """follow: runs as long as the server does, and may `change` the model. encoder: what gives vectors of texts."""
        self.served, self.settings, self._encoder = served, served.settings, encoder
        self._door = Door(self.settings)
        self._created = int(time.time())
        self._follow = follow
        self.worker = self._worker(served)
        self.metrics = Metrics(lambda: self.worker)
        self._records = Records(self.metrics, log, contents=self.settings.log_contents)
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
            Route("/v1/embeddings", self._recorded(self.embed), methods=["POST"]),
            Route("/v1/models", self._recorded(self.models), methods=["GET"]),
            Route("/v1/models/{model:path}", self._recorded(self.model), methods=["GET"]),
            Route("/metrics", self._recorded(self.show_metrics), methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/v1/feedback", self._recorded(self.judge), methods=["POST"]),
            Route("/v1/feedback", self._recorded(self.judged), methods=["GET"]),
        ]
        if self.settings.page:
            routes += page_routes()
        handlers: dict[Any, Any] = {HTTPException: _refused}
        return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self.worker.start()
        following = None if self._follow is None else asyncio.ensure_future(self._follow(self))
        try:
            yield
        finally:
            if following is not None:
                following.cancel()
            await self.worker.stop()
            self.judging.close()

    async def health(self, _request: Request) -> Response:
        """Whether the engine runs."""
        ok = self.worker.healthy
        return JSONResponse({"status": "ok" if ok else "stopping"}, 200 if ok else 503)

    async def show_metrics(self, _request: Request, _record: Record) -> Response:
        return PlainTextResponse(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def models(self, _request: Request, _record: Record) -> Response:
        return JSONResponse({"object": "list", "data": self._models()})

    async def model(self, request: Request, _record: Record) -> Response:
        name = request.path_params["model"]
        found = next((one for one in self._models() if one["id"] == name), None)
        if found is None:
            self._door.check_model(name)
        return JSONResponse(found)

    async def chat(self, request: Request, record: Record) -> Response:
        """Answer a conversation."""
        asked = await self._door.read_question(request, ChatRequest, record)
        served = self.served
        messages, cited = served.messages(asked), list[dict[str, Any]]()
        if served.passages is not None:
            messages, cited = await asyncio.to_thread(served.grounded, messages)
            served = self.served  # which may have changed meanwhile
        prompt = served.chat_prompt(messages)
        wanted = asked.max_completion_tokens or asked.max_tokens
        grammar = await asyncio.to_thread(served.grammar, asked)
        requests = served.requests(asked, [prompt], wanted, asked.top_logprobs or 0, grammar)
        bodies = Chat(served.tokenizer, bool(asked.logprobs))
        after = AfterChat(served, self.judging, asked, record.key, cited)
        ticket = self._submit(requests, record)
        return await self._answer(request, record, asked, [prompt], bodies, ticket, after=after)

    async def judge(self, request: Request, record: Record) -> Response:
        """Keep what somebody thinks of an answer."""
        opinion = await self._door.read(request, Opinion, record)
        return JSONResponse({"object": "feedback", "number": await self.judging.judge(opinion, record.key)})

    async def judged(self, _request: Request, _record: Record) -> Response:
        """Whether anything is kept."""
        return JSONResponse({"object": "feedback", "enabled": self.judging.enabled})

    async def complete(self, request: Request, record: Record) -> Response:
        """Go on from texts or tokens."""
        asked = await self._door.read_question(request, CompletionRequest, record)
        prompts = self.served.text_prompts(asked)
        wanted = asked.max_tokens
        grammar = await asyncio.to_thread(self.served.grammar, asked)
        requests = self.served.requests(asked, prompts, wanted or 1, asked.logprobs or 0, grammar)
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

    async def embed(self, request: Request, record: Record) -> Response:
        """Give vectors of texts."""
        encoder = self._encoder
        if encoder is None:
            raise ApiError(404, "no encoder is served here; burnish serve --encoder FOLDER adds one")
        asked = await self._door.read(request, EmbeddingRequest, record)
        self._door.check_model(asked.model, encoder.name)
        found = await self._within(request, encoder.answer(asked, lambda portion: self.worker.call(portion)))
        record.prompt_tokens = found["usage"]["prompt_tokens"]
        return JSONResponse(found, headers={"X-Request-Id": record.id})

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
        after: AfterChat | None = None,
    ) -> Response:
        head = {"id": f"{bodies.prefix}-{record.id}", "created": int(time.time()), "model": self.settings.name}
        record.prompt_tokens = sum(map(len, prompts))
        if ticket is None:
            choices = [bodies.choice(place, None) for place in range(n_choices)]  # type: ignore[arg-type]
            return JSONResponse({**head, "object": bodies.kind, "choices": choices, "usage": usage(prompts, [])})
        written = Choices(ticket, self.served.tokenizer)
        if asked.stream:
            with_usage = asked.stream_options is not None and asked.stream_options.include_usage
            events = self._events(record, prompts, bodies, ticket, written, head, with_usage, after)
            return EventSourceResponse(events, ping=15, sep="\n", headers={"X-Request-Id": record.id})
        try:
            await self._within(request, self._written(written, record))
            record.contents["answers"] = [choice.text.text for choice in written.all]
        finally:
            ticket.close()
            self._records.counted(record, usage(prompts, written.all))
        choices = [bodies.choice(place, choice) for place, choice in enumerate(written.all)]
        more = await self._after(after, str(head["id"]), written, record)
        return JSONResponse(
            {**head, "object": bodies.kind, "choices": choices, "usage": usage(prompts, written.all), **more},
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
        after: AfterChat | None,
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
            more = await self._after(after, str(head["id"]), written, record)
            if more:
                yield event([], **more)
            if with_usage:
                yield event([], usage=usage(prompts, written.all))
            yield {"data": "[DONE]"}
        except Exception as error:
            fault = self._fault(error, record)
            record.ended_by = fault.message
            yield {"data": json.dumps(fault.body)}
        finally:
            ticket.close()
            self._records.counted(record, usage(prompts, written.all))
            record.contents["answers"] = [choice.text.text for choice in written.all]
            self._records.ended(record, 200)

    async def _after(self, after: AfterChat | None, name: str, written: Choices, record: Record) -> dict[str, Any]:
        """What is done with whole answers: they are kept, and what belongs to them is sent behind them."""
        if after is None:
            return {}
        texts = [choice.text.text for choice in written.all]
        try:
            await after.keep(name, texts)
        except BurnishError as error:  # the answer is given all the same; it cannot be judged
            self._records.failed(record, error)
        return await after.more(texts)

    def _models(self) -> list[dict[str, Any]]:
        head = {"object": "model", "created": self._created, "owned_by": "burnish"}
        found = [{"id": self.settings.name, **head, "max_model_len": self.served.context}]
        return found if self._encoder is None else [*found, {"id": self._encoder.name, **head}]

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
        404: "no such path; expected /v1/chat/completions, /v1/completions, /v1/embeddings or /v1/models",
        405: "no such method here",
    }
    fault = ApiError(error.status_code, said.get(error.status_code, str(error.detail)))
    return JSONResponse(fault.body, error.status_code, headers=error.headers)
