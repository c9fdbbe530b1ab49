"""What is done with whole answers: they are kept where the operator asked for it, and people may judge them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from burnish.datasets.feedback import MAX_TEXT, Answered, Feedback, FeedbackError, Judged, Kind, NoAnswerError
from burnish.retrieval.intents import Intent
from burnish.serving.api.bodies import Chat
from burnish.serving.api.choices import Choice
from burnish.serving.api.faults import ApiError
from burnish.serving.api.looking_up import shown_table
from burnish.serving.api.protocol import ChatRequest
from burnish.serving.api.served import Served

Id = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[str, Field(max_length=MAX_TEXT)]


class Opinion(BaseModel):
    """A judgement as it is sent. answer: a response's id; of its choices the second is `ID-1`, the third `ID-2`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    answer: Id
    kind: Kind
    than: Id | None = None
    text: Words | None = None
    reason: Words | None = None
    user: Annotated[str, Field(max_length=1000)] | None = None


class Judging:
    """Keeps answers and opinions. store: where; None keeps nothing."""

    def __init__(self, store: Feedback | None) -> None:
        self._store = store

    @property
    def enabled(self) -> bool:
        return self._store is not None

    async def keep(self, answers: Sequence[Answered]) -> None:
        """Keep the answers of one request. Raises BurnishError where they cannot be."""
        store = self._store
        if store is None:
            return

        def record() -> None:
            for answer in answers:
                store.record(answer)

        await asyncio.to_thread(record)

    async def judge(self, opinion: Opinion, key: str) -> int:
        """Keep an opinion; returns its number. Raises ApiError where nothing is kept, or it cannot be."""
        if self._store is None:
            raise ApiError(404, "judgements are not kept here: start the server with --feedback FILE")
        said = opinion.model_dump(exclude={"user"})
        try:
            judged = Judged(**said, user=key or opinion.user or "")
            return await asyncio.to_thread(self._store.judge, judged, of=key or None)
        except NoAnswerError as error:
            raise ApiError(404, str(error), code="not_found", param="answer") from error
        except FeedbackError as error:
            raise ApiError(400, str(error), code="invalid_value") from error

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()


@dataclass(frozen=True)
class AfterChat:
    """One conversation's request: what was asked of whom, and the passages that were put before the question.

    calling: the bodies of its answers, where the model may call the client's tools. acted: its answer, where the
    server's own are called. intent: what the question wants.
    """

    served: Served
    judging: Judging
    asked: ChatRequest
    key: str
    cited: Sequence[dict[str, Any]]
    calling: Chat | None = None
    intent: Intent | None = None
    acted: bool = False

    async def keep(self, name: str, choices: Sequence[Choice]) -> None:
        """Keep the answers that are given, with the conversation as it was asked: passages stand apart.

        Not those that may call tools: rows of judgements have no place for these.
        """
        if not self.judging.enabled or self.calling is not None or self.acted:
            return
        sampling = self.asked.model_dump(
            include={"temperature", "top_p", "top_k", "min_p", "seed", "repetition_penalty"}, exclude_none=True
        )
        conversation = self.asked.user or ""
        await self.judging.keep(
            [
                Answered(
                    id=f"{name}-{place}" if place else name,
                    prompt=[dict(message) for message in self.served.messages(self.asked)],
                    answer=choice.text.text,
                    model=self.served.version_of(self.asked.model),
                    user=self.key or conversation,
                    conversation=conversation,
                    sampling=sampling,
                    retrieved=self.cited,
                )
                for place, choice in enumerate(choices)
                if choice.refusal is None
            ]
        )

    @property
    def before(self) -> dict[str, Any]:
        """What is known before the answer, and is sent beside it, where OpenAI's clients pass over it: the hop."""
        found: dict[str, Any] = {}
        if (intent := self.intent) is not None:
            name, probability = intent.name, round(intent.probability, 4)
            found["intent"] = {"name": name, "probability": probability, "ways": list(intent.ways)}
        return found | ({"citations": list(self.cited)} if self.cited else {})

    async def more(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """What is known behind the answer: calls that are none, a query's result."""
        if self.calling is not None:
            return {"wrong_tool_calls": self.calling.wrong_calls} if self.calling.wrong_calls else {}
        alone = len(choices) == 1 and choices[0].refusal is None and not self.acted
        if self.served.tables is None or not alone or not self._by_table:
            return {}
        table = await asyncio.to_thread(shown_table, self.served, choices[0].text.text)
        return {} if table is None else {"table": table}

    @property
    def _by_table(self) -> bool:
        """Whether an answer may be a query."""
        return self.intent is None or "database" in self.intent.ways
