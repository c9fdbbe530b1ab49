"""A model behind an address, which is asked only because the recipe names that address.

Its replies are kept in the run's `cache/judge`, so that a run that is resumed or repeated asks nothing twice.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from burnish.errors import BurnishError
from burnish.recipes.schema.judges.base import JudgeBase, problem_of
from burnish.recipes.schema.stage import Action, StageContext
from burnish.rewards.judgement import Judge, Judgement
from burnish.rewards.pairwise import CRITERION
from burnish.rewards.texts import expected_texts
from burnish.runs.names import CACHE_FOLDER

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.generation.answer import Answer
    from burnish.rewards.chat_endpoint import ChatEndpoint
    from burnish.rewards.pairwise import AnswerPair, PairVerdict


class ChatJudge(JudgeBase):
    """A model behind an OpenAI-compatible address: compares answers two by two, in both orders, or rates each."""

    type: Literal["chat"] = Field(description="kind of judge: chat")
    ask: Literal["compare", "score"] = Field(
        "compare",
        description="compare: the share of its comparisons with the other answers to its prompt that an answer wins, "
        "n (n - 1) requests for n answers; score: a rating of each answer, 0.1 to 1",
    )
    address: str = Field(
        pattern=r"^https?://[^\s/@?#\\]+(/\S*)?$",
        description="what comes before /chat/completions, for example http://localhost:8000/v1; nothing else is asked",
    )
    model: str = Field(min_length=1, description="the model's name at that address")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key, if one is needed; never the key itself"
    )
    criterion: str = Field(CRITERION, min_length=1, description="what makes an answer the better one")
    key: str | None = Field(
        None, description="key of the row with an answer that is known to be good, which the judge sees when it scores"
    )
    max_tokens: int = Field(512, ge=1, description="longest reply of the judge, in tokens")
    timeout_seconds: float = Field(120.0, gt=0, description="for one attempt")
    retries: int = Field(4, ge=0, description="further attempts where the server is busy or does not answer")
    concurrency: int = Field(4, ge=1, description="requests that wait at the same time")

    @field_validator("api_key_env")
    @classmethod
    def _no_key_in_the_open(cls, name: str | None, info: ValidationInfo) -> str | None:
        from burnish.rewards.chat_endpoint import NO_KEY_OVER_HTTP, exposes_key

        address = info.data.get("address")
        if name is not None and address is not None and exposes_key(address):
            raise ValueError(f"{NO_KEY_OVER_HTTP} (the address is {address})")
        return name

    @property
    def compares(self) -> bool:  # type: ignore[override]
        """Whether its scores are relative."""
        return self.ask == "compare"

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return None if self.key is None else problem_of(expected_texts, row, self.key)

    def actions(self, folder: Path) -> Iterator[Action]:
        key = f", with the key in the environment variable {self.api_key_env}" if self.api_key_env else ""
        yield Action("sends", f"prompts and answers to {self.address}{key}")

    def check(self, context: StageContext, tasks: "Sequence[Task]" = ()) -> None:
        if self.api_key_env is not None and not os.environ.get(self.api_key_env):
            raise BurnishError(
                f"{self.title}.api_key_env: the environment variable {self.api_key_env} is not set; export it with the "
                "key"
            )

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return nullcontext(self._shares(context) if self.ask == "compare" else self._ratings(context))

    def compare(
        self, context: StageContext, comparisons: "Sequence[AnswerPair]", label: str = "judge"
    ) -> "list[PairVerdict]":
        """Judge all comparisons, with a progress bar."""
        from burnish.rewards.pairwise import PairwiseJudge

        with self._asking(context) as ask, context.display.bar(label, len(comparisons), "comparisons") as bar:
            judge = PairwiseJudge(ask, self.criterion, self.concurrency)
            judgements = judge.judge(comparisons, on_progress=bar.update)
        unclear = sum(one.unclear for one in judgements)
        if unclear:
            context.display.say(f"  {unclear} of {2 * len(judgements)} replies had no verdict and count as ties")
        return judgements

    def _shares(self, context: StageContext) -> Judge:
        """For each answer the share of the comparisons with its neighbours of the same prompt that it wins."""
        from burnish.rewards.pairwise import round_robin, scores

        def judge(answers: "Sequence[Answer]", /) -> list[Judgement]:
            groups = [list(group) for _, group in groupby(answers, key=lambda answer: answer.prompt)]
            rounds = [round_robin(group[0].prompt, [answer.text for answer in group]) for group in groups]
            judged = iter(self.compare(context, [comparison for pairs in rounds for _, comparison in pairs]))
            return [
                Judgement(score)
                for group, pairs in zip(groups, rounds, strict=True)
                for score in scores(len(group), [(places, next(judged)) for places, _ in pairs])
            ]

        return judge

    def _ratings(self, context: StageContext) -> Judge:
        from burnish.rewards.rating import UNCLEAR, RatingJudge

        def judge(answers: "Sequence[Answer]", /) -> list[Judgement]:
            with self._asking(context) as ask, context.display.bar("judge", len(answers), "answers") as bar:
                rating = RatingJudge(ask, self.criterion, self.concurrency, self.key)
                judgements = rating(answers, on_progress=bar.update)
            if unclear := sum(one.reason == UNCLEAR for one in judgements):
                context.display.say(f"  {unclear} of {len(judgements)} replies had no rating and count as 5.5 of 10")
            return judgements

        return judge

    @contextmanager
    def _asking(self, context: StageContext) -> Iterator[Any]:
        """The function that asks; what was damaged among the kept replies is said afterwards."""
        self.check(context)
        endpoint = self._endpoint(context)

        def ask(messages: Any) -> str:
            return endpoint.ask(messages, max_tokens=self.max_tokens)

        yield ask
        if endpoint.damaged:
            context.notice(
                f"{len(endpoint.damaged)} kept answers of the judge were not what it had said, and were asked for "
                f"again, the first in {endpoint.damaged[0]}"
            )

    def _endpoint(self, context: StageContext) -> "ChatEndpoint":
        from burnish.rewards.chat_endpoint import ChatEndpoint

        return ChatEndpoint(
            self.address,
            self.model,
            context.folder.parent / CACHE_FOLDER / "judge",
            api_key=os.environ.get(self.api_key_env) if self.api_key_env else None,
            timeout_seconds=self.timeout_seconds,
            retries=self.retries,
        )
