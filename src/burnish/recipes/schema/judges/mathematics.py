"""Mathematics, compared by math-verify."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.recipes.schema.judges.base import TaggedJudge, problem_of, raise_problems
from burnish.recipes.schema.stage import StageContext

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.rewards.mathematics import MathVerifier


class MathJudge(TaggedJudge):
    """Mathematics: right if the formula or number that it answers with equals that of the task's row.

    The answer is the inside of `<answer>…</answer>`, else the last `\\boxed{…}`, else the last formula or number.
    """

    type: Literal["math"] = Field(description="kind of judge: math")
    key: str = Field("answer", description="key of the row with a number or a formula in LaTeX, also behind `####`")
    timeout_seconds: float = Field(5.0, gt=0, description="processor time of one answer; what takes longer is wrong")

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.mathematics import gold_text

        return problem_of(gold_text, row, self.key)

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        with self.open(context) as verifier:
            raise_problems((task, problem_of(verifier.check, task.row)) for task in tasks)

    @contextmanager
    def open(self, context: StageContext) -> Iterator["MathVerifier"]:
        from burnish.rewards.mathematics import MathVerifier
        from burnish.rewards.scorer import Scorer

        with Scorer("math-verify", timeout_seconds=self.timeout_seconds) as scorer:
            yield MathVerifier(scorer, self.key, self.tags)
            if scorer.killed:
                context.warn(f"{scorer.killed} answers took math-verify over {self.timeout_seconds:g} s and are wrong")
