"""Python, judged by running it against unit tests in the sandbox."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.schema.judges.base import JudgeBase, problem_of
from burnish.recipes.schema.stage import StageContext
from burnish.rewards.sizes import PATTERN, size_in_bytes

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.rewards.programs.judge import UnitTestVerifier

_SHOWN = 10


class UnitTestsJudge(JudgeBase):
    """Python by running it in the sandbox: right if the row's unit tests pass.

    The tests are the row's `tests`, MBPP's `test_list` or HumanEval's `test` with `entry_point`; a row with a solution
    of its own (`canonical_solution`, `code`, `solution`) is checked before anything trains.
    """

    type: Literal["unit_tests"] = Field(description="kind of judge: unit_tests")
    timeout_seconds: float = Field(
        3.0, gt=0, description="processor time of one program; one that takes longer is wrong"
    )
    memory_limit: str = Field(
        "512MB", pattern=PATTERN, description="memory (address space) of one program, such as 512MB or 1GiB"
    )
    workers: int | None = Field(None, ge=1, description="programs that run at the same time; null: one a core")

    tells_right: ClassVar[bool] = True
    elects: ClassVar[bool] = True
    elects_by_row: ClassVar[bool] = True

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        from burnish.rewards.programs.unit_tests import read_tests

        return problem_of(read_tests, row)

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        with self.open(context) as verifier:
            problems = verifier.check_solutions([(str(task.place), task.row) for task in tasks])
        if problems:
            more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
            raise DataError("\n".join(problems[:_SHOWN] + more))

    @contextmanager
    def open(self, context: StageContext) -> Iterator["UnitTestVerifier"]:
        from burnish.rewards.programs.judge import UnitTestVerifier
        from burnish.rewards.programs.sandbox import ProgramLimits, ProgramSandbox

        limits = ProgramLimits(seconds=self.timeout_seconds, memory=size_in_bytes(self.memory_limit))
        with ProgramSandbox(limits, workers=self.workers) as sandbox:
            verifier = UnitTestVerifier(sandbox)
            yield verifier
            for remark in verifier.remarks():
                context.warn(remark)
