"""Judges as a recipe writes them: what scores the answers to one prompt against each other.

A judge behind an address is asked only because the recipe names that address. Its replies are kept in the run's
`cache/judge`, so a run that is resumed or repeated asks nothing twice.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from burnish.errors import BurnishError
from burnish.recipes.schema.stage import Action, RewardModelReference, StageContext, StrictModel
from burnish.rewards.pairwise import CRITERION
from burnish.runs.names import CACHE_FOLDER

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.rewards.chat_endpoint import ChatEndpoint
    from burnish.rewards.pairwise import Comparison, PairVerdict, PairwiseJudge


class ChatJudge(StrictModel):
    """A model behind an OpenAI-compatible address compares answers two by two, each pair in both orders."""

    type: Literal["chat"] = Field(description="kind of judge: chat")
    address: str = Field(
        pattern=r"^https?://[^\s/@?#\\]+(/\S*)?$",
        description="what comes before /chat/completions, for example http://localhost:8000/v1; nothing else is asked",
    )
    model: str = Field(min_length=1, description="the model's name at that address")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key, if one is needed; never the key itself"
    )
    criterion: str = Field(CRITERION, min_length=1, description="what makes an answer the better one")
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

    def actions(self, folder: Path) -> Iterator[Action]:
        key = f", with the key in the environment variable {self.api_key_env}" if self.api_key_env else ""
        yield Action("sends", f"prompts and answers to {self.address}{key}")

    def check(self) -> None:
        """Raise BurnishError where the key's environment variable is not set."""
        if self.api_key_env is not None and not os.environ.get(self.api_key_env):
            raise BurnishError(
                f"judge.api_key_env: the environment variable {self.api_key_env} is not set; export it with the key"
            )

    def compare(
        self, context: StageContext, comparisons: "Sequence[Comparison]", label: str = "judge"
    ) -> "list[PairVerdict]":
        """Judge all, with a progress bar."""
        self.check()
        with context.display.bar(label, len(comparisons), "comparisons") as bar:
            endpoint = self._endpoint(context)
            judgements = self._judge(endpoint).judge(comparisons, on_progress=bar.update)
        if endpoint.damaged:
            context.notice(
                f"{len(endpoint.damaged)} kept answers of the judge were not what it had said, and were asked for "
                f"again, the first in {endpoint.damaged[0]}"
            )
        unclear = sum(one.unclear for one in judgements)
        if unclear:
            context.display.say(f"  {unclear} of {2 * len(judgements)} replies had no verdict and count as ties")
        return judgements

    def scores(
        self, context: StageContext, tasks: "Sequence[Task]", answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """For each prompt the share of its comparisons that each answer wins: `n (n - 1)` requests for n answers."""
        from burnish.rewards.pairwise import round_robin, scores

        rounds = [round_robin(task.prompt, texts) for task, texts in zip(tasks, answers, strict=True)]
        judged = iter(self.compare(context, [comparison for pairs in rounds for _, comparison in pairs]))
        return [
            scores(len(texts), [(places, next(judged)) for places, _ in pairs])
            for texts, pairs in zip(answers, rounds, strict=True)
        ]

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

    def _judge(self, endpoint: "ChatEndpoint") -> "PairwiseJudge":
        from burnish.rewards.pairwise import PairwiseJudge

        def ask(messages: Any) -> str:
            return endpoint.ask(messages, max_tokens=self.max_tokens)

        return PairwiseJudge(ask, self.criterion, self.concurrency)


class RewardModelJudge(StrictModel):
    """A reward model scores every answer."""

    type: Literal["reward_model"] = Field(description="kind of judge: reward_model")
    model: RewardModelReference = Field(description="@STAGE of a reward_model stage, or the folder of a reward model")

    def check(self) -> None:
        """Nothing that the planner has not checked."""

    def scores(
        self, context: StageContext, tasks: "Sequence[Task]", answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """For each prompt the reward of each answer."""
        from burnish.generation.answer import Answer
        from burnish.rewards.judgement import WeightedJudge, judge_answers, scores
        from burnish.rewards.learned import by_reward_model

        def compute() -> list[list[float]]:
            judge = by_reward_model(*context.load_reward_model(self.model))
            said = [
                Answer(task.prompt, text, task.row)
                for task, texts in zip(tasks, answers, strict=True)
                for text in texts
            ]
            found = iter(scores(judge_answers([WeightedJudge("reward_model", judge)], said))[0])
            return [[next(found) for _ in texts] for texts in answers]

        rewards: list[list[float]] = context.remembered("scores", compute)
        return rewards


JudgeConfig = Annotated[ChatJudge | RewardModelJudge, Field(discriminator="type")]
