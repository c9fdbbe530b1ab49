"""Tasks of reasoning-gym, scored by its own scorers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.recipes.schema.judges.base import TaggedJudge, problem_of, raise_problems
from burnish.recipes.schema.stage import StageContext

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.rewards.reasoning_tasks import GymVerifier


class ReasoningGymJudge(TaggedJudge):
    """The score that reasoning-gym gives to an answer to one of its tasks, 0 to 1; right is 1.

    The rows are those of a `reasoning_gym` stage: they say how each task was made.
    """

    type: Literal["reasoning_gym"] = Field(description="kind of judge: reasoning_gym")
    partial: bool = Field(True, description="whether what is partly right earns a part; else a score is 1 or 0")
    timeout_seconds: float = Field(5.0, gt=0, description="processor time of one answer; what takes longer is wrong")

    tells_right: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.reasoning_tasks import made

        return problem_of(made, row)

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        from burnish.generation.answer import Answer

        first: dict[str, Task] = {}
        for task in tasks:
            first.setdefault(task.row["reasoning_gym"]["task"], task)
        with self.open(context) as verifier:
            raise_problems((task, problem_of(verifier, [Answer(task.prompt, "", task.row)])) for task in first.values())

    @contextmanager
    def open(self, context: StageContext) -> Iterator["GymVerifier"]:
        from burnish.rewards.reasoning_tasks import GymVerifier
        from burnish.rewards.scorer import Scorer

        with Scorer("reasoning-gym", timeout_seconds=self.timeout_seconds) as scorer:
            yield GymVerifier(scorer, self.partial, self.tags)
            if scorer.killed:
                context.warn(f"{scorer.killed} answers took over {self.timeout_seconds:g} s to score and are wrong")
