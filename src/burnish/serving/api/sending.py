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
from burnish.serving.api.app import Api
from burnish.serving.api.bodies import Chat, Completion
from burnish.serving.api.choices import Answering, usage
from burnish.serving.api.events import EventStream
from burnish.serving.api.exchange import fault_of, within
from burnish.serving.api.judging import AfterChat
from burnish.serving.api.protocol import ChatRequest, CompletionRequest
from burnish.serving.api.records import Record


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

    async def answer(self, request: Request, asked: ChatRequest | CompletionRequest, written: Answering) -> Response:
        """Answers as they are written, in the way that was asked for."""
        if asked.stream:
            with_usage = asked.stream_options is not None and asked.stream_options.include_usage
            return EventStream(self._events(written, with_usage), {"X-Request-Id": self.record.id})
        try:
            await within(self.api, request, self._whole(written))
            self.record.contents["answers"] = [choice.text.text for choice in written.all]
        finally:
            written.close()
            self.api.records.counted(self.record, written.usage, written.waited)
        choices = [self.bodies.choice(place, choice) for place, choice in enumerate(written.all)]
        more = {**self._before(), **await self._after(written)}
        return JSONResponse(
            {
                **self._head,
                "object": self.bodies.kind,
                "choices": choices,
                "usage": written.usage,
                **({"burnish": more} if more else {}),
            },
            headers={"X-Request-Id": self.record.id},
        )

    async def _whole(self, written: Answering) -> None:
        async for _ in written.pieces():
            self.api.records.first_token(self.record)

    async def _events(self, written: Answering, with_usage: bool) -> AsyncGenerator[str, None]:
        api, record, bodies = self.api, self.record, self.bodies

        def event(choices: list[dict[str, Any]], **more: Any) -> str:
            return json.dumps({**self._head, "object": bodies.chunk_kind, "choices": choices, **more})

        record.ended_by = "disconnected"
        end = asyncio.get_running_loop().call_later(api.settings.limits.seconds, written.expire)
        try:
            for place in range(len(written.all)):
                if (first := bodies.first(place)) is not None:
                    yield event([first])
            if before := self._before():
                yield event([], burnish=before)
            async for piece in written.pieces():
                api.records.first_token(record)
                if piece.more:
                    yield event([], burnish=dict(piece.more))
                if piece.text or piece.drawn or piece.finish_reason:
                    chunk = bodies.chunk(piece.place, piece.text, piece.drawn, piece.finish_reason, piece.refusal)
                    yield event([chunk])
            record.ended_by = ""
            if more := await self._after(written):
                yield event([], burnish=more)
            if with_usage:
                yield event([], usage=written.usage)
            yield "[DONE]"
        except Exception as error:
            fault = fault_of(error, api, record)
            record.ended_by = fault.message
            yield json.dumps(fault.body)
        finally:
            end.cancel()
            written.close()
            api.records.counted(record, written.usage, written.waited)
            record.contents["answers"] = [choice.text.text for choice in written.all]
            api.records.ended(record, 200)

    def _before(self) -> dict[str, Any]:
        """What is known before the first token: where the answer is looked up."""
        return {} if self.after is None else self.after.before

    async def _after(self, written: Answering) -> dict[str, Any]:
        """What is done with whole answers: they are kept, and what belongs to them is sent behind them."""
        if self.after is None:
            return written.more
        try:
            await self.after.keep(str(self._head["id"]), written.all)
        except BurnishError as error:  # the answer is given all the same; it cannot be judged
            self.api.records.failed(self.record, error)
        return {**written.more, **await self.after.more(written.all)}
