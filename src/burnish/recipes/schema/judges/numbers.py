"""Answers that are a number."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal

from pydantic import Field

from burnish.recipes.schema.judges.base import TaggedJudge, problem_of
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import Judge


class NumbersJudge(TaggedJudge):
    """A completion is right if the number it answers with is that of the task's row."""

    type: Literal["numbers"] = Field(description="kind of judge: numbers")
    key: str = Field("answer", description="key of the row with the number, or with a text that ends in `#### N`")

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.numbers import NumberVerifier

        return problem_of(NumberVerifier(self.key).gold, row)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.numbers import NumberVerifier

        return nullcontext(NumberVerifier(self.key, self.tags))
