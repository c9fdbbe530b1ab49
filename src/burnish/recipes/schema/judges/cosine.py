"""A reward of being right that depends on the length."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.judges.mathematics import MathJudge
from burnish.recipes.schema.judges.numbers import NumbersJudge
from burnish.recipes.schema.judges.python import PythonJudge
from burnish.recipes.schema.judges.reasoning_gym import ReasoningGymJudge
from burnish.recipes.schema.judges.sql import SqlJudge
from burnish.recipes.schema.judges.texts import ChoiceJudge, ContainsJudge, ExactJudge, RegexJudge
from burnish.recipes.schema.judges.unit_tests import UnitTestsJudge
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.judgement import Judge

if TYPE_CHECKING:
    from burnish.datasets.rows import Task

RightOrWrong = Annotated[
    SqlJudge
    | NumbersJudge
    | MathJudge
    | ReasoningGymJudge
    | ExactJudge
    | ContainsJudge
    | RegexJudge
    | ChoiceJudge
    | PythonJudge
    | UnitTestsJudge,
    Field(discriminator="type"),
]
"""A judge that tells right from wrong."""
Ends = Annotated[list[float], Field(min_length=2, max_length=2)]


class CosineJudge(JudgeBase):
    """A reward that a right answer loses, and a wrong one gains, as it gets longer (Yeo 2025, arXiv:2502.03373)."""

    type: Literal["cosine"] = Field(description="kind of judge: cosine")
    of: RightOrWrong = Field(description="the judge that says whether an answer is right, with its keys")
    max_length: int = Field(ge=1, description="tokens at which the reward has become that of the longest answers")
    correct: Ends = Field([1.0, 0.5], description="of a right answer: the shortest, and one of `max_length` tokens")
    wrong: Ends = Field([-1.0, -0.5], description="of a wrong answer: the shortest, and one of `max_length` tokens")
    exceeded: float = Field(-1.0, description="of an answer that is cut, or longer than `max_length`")

    tells_right: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        return self.of.row_problem(row)

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        self.of.check(context, tasks)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        return self._opened(context)

    @contextmanager
    def _opened(self, context: StageContext) -> Iterator[Judge]:
        from burnish.rewards.length import CosineReward

        with self.of.open(context) as judge:
            yield CosineReward(
                judge=judge,
                max_length=self.max_length,
                correct=(self.correct[0], self.correct[1]),
                wrong=(self.wrong[0], self.wrong[1]),
                exceeded=self.exceeded,
            )
