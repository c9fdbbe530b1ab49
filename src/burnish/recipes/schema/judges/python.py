"""A function of the user's, in a file beside the recipe: it is trusted, as that of `prepare` is."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.errors import BurnishError
from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.python_files import check_function, load_function
from burnish.recipes.schema.stage import Action, FileReference, StageContext
from burnish.rewards.judgement import Judge, Judgement, as_judgement, each

if TYPE_CHECKING:
    from burnish.datasets.rows import Task


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
        check_function(context.path(self.file), self.function)

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        file = context.path(self.file)
        function = load_function(file, self.function)

        def call(prompt: Any, completion: str, row: Any) -> Judgement:
            try:
                return as_judgement(function(prompt, completion, row))
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                raise BurnishError(f"{file}: {self.function} fails for {completion[:80]!r}: {problem}") from error

        return nullcontext(each(call))
