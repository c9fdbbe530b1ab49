"""Answers that a judge lets through: nothing of one is sent before, and where none is good enough that is said."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from burnish.generation.request import Request, derived_seed
from burnish.generation.texts import answer_of
from burnish.rewards.gate import Gate, none_passed
from burnish.rewards.votes import VOTE_TEMPERATURE
from burnish.serving.api.app import Api
from burnish.serving.api.choices import Choice, Choices, Piece, Spoken, usage
from burnish.serving.api.faults import ApiError
from burnish.serving.api.records import Record
from burnish.serving.api.served import Served
from burnish.serving.api.tooling import ToolUse
from burnish.text.chat import Message

REFUSED = "content_filter"
"""Why a choice has ended that is not given, in OpenAI's words."""


def check_gate(served: Served, use: ToolUse | None, acting: bool) -> None:
    """Refuse tools where a gate judges answers: a call is none, and would pass it by. Raises ApiError."""
    if served.gate is not None and (use is not None or acting):
        said = "tools: not served by a model whose answers a judge lets through (`chat.gate` of its recipe)"
        raise ApiError(400, said, code="invalid_value", param="tools")


@dataclass(eq=False)
class GatedAnswers:
    """`burnish.serving.api.choices.Answering` of choices each of which passes a gate, or is refused.

    The first answer is drawn as the request says, further ones at a temperature of at least 0.7. messages: the
    conversation as judges see it. requests: one a choice.
    """

    api: Api
    served: Served
    gate: Gate
    messages: Sequence[Message]
    prompt: list[int]
    requests: Sequence[Request]
    record: Record
    all: Sequence[Choice] = field(default_factory=list)
    attempts: int = 0

    def __post_init__(self) -> None:
        self.all = [Choice(Spoken()) for _ in self.requests]
        self._best: list[float | None] = [None] * len(self.requests)
        self._worker, self._over = self.api.worker, False
        self._ticket = self.api.submit(self.requests, self.record, self._worker)

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens of all attempts; the prompt is computed once for them."""
        return usage([self.prompt], self.all)

    @property
    def more(self) -> dict[str, Any]:
        """What the gate said, of each choice."""
        scores = [None if best is None else round(best, 4) for best in self._best]
        return {"gate": {"threshold": self.gate.threshold, "attempts": self.attempts, "scores": scores}}

    @property
    def waited(self) -> float | None:
        return self._ticket.waited

    def expire(self) -> None:
        """Let the answers end with a TimeoutError."""
        self._over = True
        self._ticket.put(TimeoutError())

    def close(self) -> None:
        """Forget what is left."""
        self._ticket.close()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Each choice as a whole, once it has passed or is refused."""
        open_places = list(range(len(self.requests)))
        for attempt in range(self.gate.attempts):
            if attempt:
                self._ticket = self._again(open_places, attempt)
            written = Choices(self._ticket, [self.prompt], self.served.tokenizer)
            async for _ in written.pieces():
                pass
            self.attempts = attempt + 1
            scores = await asyncio.to_thread(self._scores, written)
            if self._over:
                raise TimeoutError
            still = []
            for place, drawn, score in zip(open_places, written.all, scores, strict=True):
                choice, best = self.all[place], self._best[place]
                choice.n_tokens, choice.reused = choice.n_tokens + drawn.n_tokens, choice.reused or drawn.reused
                self._best[place] = best if score is None else score if best is None else max(best, score)
                if score is None or score < self.gate.threshold:
                    still.append(place)
                    continue
                choice.text, choice.given = Spoken(drawn.text.text), drawn.given
                choice.finish_reason = drawn.finish_reason
                yield Piece(place, drawn.text.text, drawn.given, drawn.finish_reason)
            open_places = still
            if not open_places:
                return
        for place in open_places:
            choice = self.all[place]
            choice.refusal = none_passed(self.attempts, self._best[place], self.gate.threshold)
            choice.finish_reason = REFUSED
            yield Piece(place, "", [], REFUSED, refusal=choice.refusal)

    def _again(self, places: Sequence[int], attempt: int) -> Any:
        """Further answers in the places of those that did not pass."""
        requests = []
        for place in places:
            one = self.requests[place]
            sampling = replace(one.sampling, temperature=one.sampling.temperature or VOTE_TEMPERATURE)
            requests.append(replace(one, sampling=sampling, seed=derived_seed(one.seed, attempt)))
        return self.api.submit(requests, self.record, self._worker, self._ticket)

    def _scores(self, written: Choices) -> list[float | None]:
        answers = []
        for choice in written.all:
            assert choice.completion is not None
            answers.append(answer_of(choice.completion, self.served.tokenizer, self.messages, {}))
        return self.gate.scores(answers)
