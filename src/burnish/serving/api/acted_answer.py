"""An answer in several turns, between which the server calls its own tools."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from burnish.agents.episode import Episode, Hop
from burnish.agents.turn import Calling, TurnReader
from burnish.errors import BurnishError
from burnish.generation.request import derived_seed
from burnish.serving.api.app import Api
from burnish.serving.api.choices import Choice, Piece, Spoken, usage
from burnish.serving.api.faults import ApiError
from burnish.serving.api.looking_up import table_of
from burnish.serving.api.protocol import ChatRequest
from burnish.serving.api.records import Record
from burnish.serving.api.served import Served
from burnish.serving.api.worker import Ticket
from burnish.text.chat import Message
from burnish.text.tool_calls.values import ToolCall


def acts(served: Served, asked: ChatRequest) -> bool:
    """Whether the server's own tools are for a request: one with tools of its own, or with none, has the model alone.

    Raises ApiError for what an answer in several turns cannot have.
    """
    if served.open_box is None or asked.tools is not None or asked.tool_choice == "none":
        return False
    formed = asked.response_format is not None and asked.response_format.type != "text"
    for param, given in (("n", asked.n > 1), ("logprobs", bool(asked.logprobs)), ("response_format", formed)):
        if given:
            raise ApiError(
                400,
                f"{param}: not served for answers that the server's own tools go into; tool_choice: 'none' asks the "
                "model alone",
                code="invalid_value",
                param=param,
            )
    return True


def opened(served: Served, messages: list[Message]) -> Episode:
    """The conversation with new tools. Raises ApiError where the model's template carries none, or there is no room."""
    assert served.open_box is not None
    try:
        return Episode(served.tokenizer, messages, served.open_box(), served.context)
    except BurnishError as error:
        raise ApiError(400, f"messages: {error}", code="invalid_value", param="messages") from error


@dataclass(eq=False)
class ActedAnswer:
    """`burnish.serving.api.choices.Answering` of one choice: text of all turns, with a call and its result between.

    All turns are of the model that it began with, also once another is served.
    """

    served: Served
    api: Api
    asked: ChatRequest
    record: Record
    episode: Episode
    all: Sequence[Choice] = field(default_factory=lambda: [Choice(Spoken())])
    prompts: list[list[int]] = field(default_factory=list)
    waited: float | None = None

    def __post_init__(self) -> None:
        self._seed = secrets.randbits(63) if self.asked.seed is None else self.asked.seed % 2**64
        wanted = self.asked.max_completion_tokens or self.asked.max_tokens
        # checked as that of any answer
        self._left = self.served.sampling(self.asked, self.episode.prompt, wanted).max_new_tokens
        self._worker, self._over = self.api.worker, False
        self._ticket = self._submitted(None)

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens of all turns: a turn's prompt has those before it, which are computed once (`cached_tokens`)."""
        return usage(self.prompts, self.all)

    @property
    def more(self) -> dict[str, Any]:
        """What belongs to the answer: the messages since the question, and why it is over where it is no answer."""
        episode = self.episode
        found: dict[str, Any] = {"messages": [_as_sent(message) for message in episode.said]}
        if episode.ended not in ("answer", "cut", None):
            found["ended"] = episode.ended
        return found | ({"wrong_tool_calls": list(episode.wrong)} if episode.wrong else {})

    def expire(self) -> None:
        """Let the answer end with a TimeoutError."""
        self._over = True
        self._ticket.put(TimeoutError())

    def close(self) -> None:
        """Forget what is left."""
        self._ticket.close()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Text, calls and results as they come."""
        (choice,) = self.all
        while True:
            async for piece in self._turn(choice):
                yield piece
            if self._over:
                raise TimeoutError
            if self.episode.ended is not None:
                break
            if self._left <= 0:
                choice.finish_reason = "length"
                yield Piece(0, "", [], "length")
                return
            self._ticket = self._submitted(self._ticket)
        choice.finish_reason = "stop" if self.episode.ended == "answer" else "length"
        yield Piece(0, "", [], choice.finish_reason)

    async def _turn(self, choice: Choice) -> AsyncIterator[Piece]:
        assert isinstance(choice.text, Spoken)
        turn = TurnReader(self.episode, self._stops)
        number, fresh = len(self.episode.hops), bool(choice.text.text)
        async for _, drawn in self._ticket:
            choice.n_tokens += 1
            self._left -= 1
            if drawn.completion is not None:
                choice.reused += drawn.completion.reused
            for event in turn.add(drawn):
                if isinstance(event, Calling):
                    yield Piece(0, "", [], None, {"call": {"number": number, **_called(event.call)}})
                    number += 1
                    continue
                text = event.text.lstrip() if fresh else event.text
                if text:
                    text, fresh = f"\n\n{text}" if fresh else text, False
                    choice.text.text += text
                    yield Piece(0, text, [], None)
        self.waited = self._ticket.waited if self.waited is None else self.waited
        began = len(self.episode.hops)
        try:
            hops = await asyncio.get_running_loop().run_in_executor(self.api.tool_threads, turn.take)
        except BurnishError as error:  # the template cannot write what was called
            raise ApiError(400, f"messages: {error}", code="invalid_value", param="messages") from error
        for place, hop in enumerate(hops, start=began):
            yield Piece(0, "", [], None, {"result": {"number": place, **_result(hop)}})

    @property
    def _stops(self) -> Sequence[str]:
        return self.served.settings.stop if self.asked.stops is None else self.asked.stops

    def _submitted(self, after: Ticket | None) -> Ticket:
        """The next turn, in the place of the one before it."""
        prompt, place = self.episode.prompt, len(self.prompts)
        room = min(self._left, self.served.context - len(prompt))
        (request,) = self.served.requests(self.asked, [prompt], None, 0, None)
        sampling = replace(request.sampling, max_new_tokens=room)
        self.prompts.append(prompt)
        request = replace(request, sampling=sampling, seed=derived_seed(self._seed, place))
        return self.api.submit([request], self.record, self._worker, after)


def _called(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": _plain(call.arguments)}


def _plain(arguments: Mapping[str, Any]) -> Any:
    """Arguments as JSON has them, which knows neither NaN nor infinity."""
    return json.loads(json.dumps(arguments), parse_constant=str)


def _result(hop: Hop) -> dict[str, Any]:
    """What came of a call, for a person to see."""
    result = hop.result
    found = {"name": hop.call.name, "text": result.text, "failed": result.failed, "seconds": round(result.seconds, 3)}
    if not result.columns:
        return found
    return found | {"table": table_of(result.columns, result.rows)}


def _as_sent(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form: arguments are JSON as text."""
    sent: dict[str, Any] = dict(message)
    if calls := message.get("tool_calls"):
        sent["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.dumps(_plain(call["function"]["arguments"]))}}
            for call in calls
        ]
    return sent
