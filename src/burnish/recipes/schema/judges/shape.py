"""The shape of an answer, whatever it says: its format, its length."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from pydantic import Field

from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import Judge, Judgement, each


class FormatJudge(JudgeBase):
    """How well a completion keeps to `<think>…</think><answer>…</answer>`: full 1, nothing of it 0."""

    type: Literal["format"] = Field(description="kind of judge: format")
    partial: float = Field(0.5, ge=0, le=1, description="where one of the two blocks is there whole")
    think_opened: bool = Field(False, description="whether the chat template writes the first <think> itself")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.format import grade_format

        worth = {"full": 1.0, "partial": self.partial, "none": 0.0}

        def grade(_prompt: Any, text: str, _row: Any) -> Judgement:
            found = grade_format(text, think_opened=self.think_opened)
            return Judgement(worth[found], reason=found)

        return nullcontext(each(grade))


class LengthJudge(JudgeBase):
    """0 for completions of up to `max_length - cache` tokens, falling to -1 at `max_length` (DAPO, equation 13)."""

    type: Literal["length"] = Field(description="kind of judge: length")
    max_length: int = Field(ge=2, description="tokens from which on a completion earns -1")
    cache: int = Field(ge=1, description="tokens before that over which the reward falls")

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.length import by_length

        return nullcontext(by_length(max_length=self.max_length, cache=self.cache))
