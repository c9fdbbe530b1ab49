"""How answers are sent: whole, or piece by piece as server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from burnish.errors import BurnishError
from burnish.serving.api.answers import Choices, usage
from burnish.serving.api.app import Api
from burnish.serving.api.bodies import Chat, Completion
from burnish.serving.api.events import EventStream
from burnish.serving.api.exchange import fault_of, within
from burnish.serving.api.judging import AfterChat
from burnish.serving.api.protocol import ChatRequest, CompletionRequest
from burnish.serving.api.records import Record
from burnish.serving.api.worker import Ticket


@dataclass
class Sending:
    """One request's answers on their way. after: what is done with whole ones. model: as it was asked for."""

    api: Api
    record: Record
    prompts: list[list[int]]
    bodies: Chat | Completion
    after: AfterChat | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        self._head = {
            "id": f"{self.bodies.prefix}-{self.record.id}",
            "created": int(time.time()),
            "model": self.model or self.api.settings.name,
        }
        self.record.prompt_tokens = sum(map(len, self.prompts))

    def prompts_alone(self, n_choices: int) -> Response:
        """Nothing but the prompts, for who asked for no new token."""
        choices = [self.bodies.choice(place, None) for place in range(n_choices)]  # type: ignore[arg-type]
        body = {**self._head, "object": self.bodies.kind, "choices": choices, "usage": usage(self.prompts, [])}
        return JSONResponse(body, headers={"X-Request-Id": self.record.id})

    async def answer(self, request: Request, asked: ChatRequest | CompletionRequest, ticket: Ticket) -> Response:
        """The answers that a ticket gives, in the way that was asked for."""
        written = Choices(ticket, self.api.served.tokenizer, self.bodies.kept)
        if asked.stream:
            with_usage = asked.stream_options is not None and asked.stream_options.include_usage
            events = self._events(ticket, written, with_usage)
            return EventStream(events, {"X-Request-Id": self.record.id})
        try:
            await within(self.api, request, self._whole(written))
            self.record.contents["answers"] = [choice.text.text for choice in written.all]
        finally:
            ticket.close()
            self.api.records.counted(self.record, usage(self.prompts, written.all), ticket.waited)
        choices = [self.bodies.choice(place, choice) for place, choice in enumerate(written.all)]
        more = await self._after(written)
        return JSONResponse(
            {
                **self._head,
                "object": self.bodies.kind,
                "choices": choices,
                "usage": usage(self.prompts, written.all),
                **more,
            },
            headers={"X-Request-Id": self.record.id},
        )

    async def _whole(self, written: Choices) -> None:
        async for _ in written.pieces():
            self.api.records.first_token(self.record)

    async def _events(self, ticket: Ticket, written: Choices, with_usage: bool) -> AsyncGenerator[str, None]:
        api, record, bodies = self.api, self.record, self.bodies

        def event(choices: list[dict[str, Any]], **more: Any) -> str:
            return json.dumps({**self._head, "object": bodies.chunk_kind, "choices": choices, **more})

        record.ended_by = "disconnected"
        end = asyncio.get_running_loop().call_later(api.settings.limits.seconds, ticket.put, TimeoutError())
        try:
            for place in range(len(written.all)):
                if (first := bodies.first(place)) is not None:
                    yield event([first])
            async for piece in written.pieces():
                api.records.first_token(record)
                if piece.text or piece.drawn or piece.finish_reason:
                    yield event([bodies.chunk(piece.place, piece.text, piece.drawn, piece.finish_reason)])
            record.ended_by = ""
            more = await self._after(written)
            if more:
                yield event([], **more)
            if with_usage:
                yield event([], usage=usage(self.prompts, written.all))
            yield "[DONE]"
        except Exception as error:
            fault = fault_of(error, api, record)
            record.ended_by = fault.message
            yield json.dumps(fault.body)
        finally:
            end.cancel()
            ticket.close()
            api.records.counted(record, usage(self.prompts, written.all), ticket.waited)
            record.contents["answers"] = [choice.text.text for choice in written.all]
            api.records.ended(record, 200)

    async def _after(self, written: Choices) -> dict[str, Any]:
        """What is done with whole answers: they are kept, and what belongs to them is sent behind them."""
        if self.after is None:
            return {}
        texts = [choice.text.text for choice in written.all]
        try:
            await self.after.keep(str(self._head["id"]), texts)
        except BurnishError as error:  # the answer is given all the same; it cannot be judged
            self.api.records.failed(self.record, error)
        return await self.after.more(texts)
