"""Answers of a model that calls tools."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal

from pydantic import Field

from burnish.recipes.schema.judges.base import JudgeBase, problem_of
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import Judge


class CallsJudge(JudgeBase):
    """An answer is right if every tool that the task's row names was called and did not fail."""

    type: Literal["calls"] = Field(description="kind of judge: calls")
    key: str = Field("calls", description="key of the row with the names of the tools")
    only: list[str] = Field([], description="tools that must not be called where the row does not name them")

    tells_right: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.calls import CallsVerifier

        return problem_of(CallsVerifier(self.key).names, dict(row))

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.calls import CallsVerifier

        return nullcontext(CallsVerifier(self.key, self.only))
