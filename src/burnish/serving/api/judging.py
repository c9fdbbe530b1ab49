"""What people think of answers, and the answers that it is about: kept where the operator asked for it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from burnish.datasets.feedback import MAX_TEXT, Answered, Feedback, FeedbackError, Judged, Kind
from burnish.serving.api.faults import ApiError

Id = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[str, Field(max_length=MAX_TEXT)]


class Opinion(BaseModel):
    """A judgement as it is sent: of the answer whose id the response had, of several choices with `-N` behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: Id
    kind: Kind
    than: Id | None = None
    text: Words | None = None
    reason: Words | None = None
    user: Annotated[str, Field(max_length=1000)] | None = None


class Judging:
    """Keeps answers and opinions. store: where; None keeps nothing. model: what tells the served weights."""

    def __init__(self, store: Feedback | None, model: str) -> None:
        self._store, self.model = store, model

    @property
    def enabled(self) -> bool:
        return self._store is not None

    async def keep(
        self,
        ids: Sequence[str],
        texts: Sequence[str],
        *,
        prompt: Sequence[Mapping[str, Any]],
        user: str,
        conversation: str,
        sampling: Mapping[str, Any],
        retrieved: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Keep the finished answers of one request."""
        store = self._store
        if store is None:
            return
        answers = [
            Answered(
                id=name,
                prompt=prompt,
                answer=text,
                model=self.model,
                user=user,
                conversation=conversation,
                sampling=sampling,
                retrieved=retrieved,
            )
            for name, text in zip(ids, texts, strict=True)
        ]

        def record() -> None:
            for answer in answers:
                store.record(answer)

        await asyncio.to_thread(record)

    async def judge(self, opinion: Opinion, key: str) -> int:
        """Keep an opinion; returns its number. Raises ApiError where nothing is kept, or it cannot be."""
        store = self._store
        if store is None:
            raise ApiError(404, "judgements are not kept here: start the server with --feedback FILE")
        own = opinion.model_dump(exclude={"user"})
        try:
            return await asyncio.to_thread(store.judge, Judged(**own, user=opinion.user or key))
        except FeedbackError as error:
            status = 404 if "no such answer" in str(error) or "no answer" in str(error) else 400
            raise ApiError(status, str(error).partition(": ")[2] or str(error), code="invalid_value") from error
