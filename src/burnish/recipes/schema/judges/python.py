"""A function of the user's, in a file beside the recipe: it is trusted, as that of `prepare` is."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import BurnishError
from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.python_files import check_function, load_function
from burnish.recipes.schema.stage import Action, FileReference, StageContext
from burnish.rewards.judgement import Judge, Judgement, as_judgement

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.generation.answer import Answer

GIVEN = ("prompt", "completion", "row")
"""What a function is called with."""


class PythonJudge(JudgeBase):
    """A function of yours: `def reward(prompt, completion, row)`, returning a number, True or False, or a Judgement.

    prompt is the list of messages, row the task's row. The file is code that you trust: it runs in this process.
    """

    type: Literal["python"] = Field(description="kind of judge: python")
    file: FileReference = Field(description="Python file, relative to the recipe")
    function: str = Field("reward", description="name of the function in it")

    def actions(self, folder: Path) -> Iterator[Action]:
        yield Action("imports", f", function {self.function}", self.function, self.file)

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        check_function(context.path(self.file), self.function, GIVEN)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        file = context.path(self.file)
        function = load_function(file, self.function, GIVEN)

        def judge(answers: "Sequence[Answer]", /) -> list[Judgement]:
            return [call(answer) for answer in answers]

        def call(answer: "Answer") -> Judgement:
            try:
                return as_judgement(function(answer.prompt, answer.text, answer.row))
            except (Exception, SystemExit) as error:  # a function that leaves would end the run without a word
                problem = f"{type(error).__name__}: {error}"
                raise BurnishError(f"{file}: {self.function} fails for {answer.named}: {problem}") from error

        return nullcontext(judge)
