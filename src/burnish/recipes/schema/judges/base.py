"""What every judge of a recipe has: its name, its weight, and the rows that it judges."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, JsonValue, field_validator

from burnish.errors import DataError
from burnish.recipes.schema.stage import Name, StageContext, StrictModel
from burnish.rewards.format import R1_TAGS, Tags
from burnish.rewards.judgement import Judge

if TYPE_CHECKING:
    from burnish.datasets.rows import Task

SHOWN_ROWS = 10
"""Of those with a problem."""


class JudgeBase(StrictModel):
    """Keys of every judge."""

    name: Name | None = Field(None, description="name in metrics and results; the type if left out")
    weight: float = Field(1.0, description="what its score is multiplied by before those of several are added")
    where: dict[str, JsonValue] = Field(
        {}, description="judge only answers to rows whose keys have these values, for example {kind: [sum, product]}"
    )

    tells_right: ClassVar[bool] = False
    """Whether each of its judgements says right or wrong."""
    elects: ClassVar[bool] = False
    """Whether it can tell which answers come to the same, so that they may vote."""
    elects_by_row: ClassVar[bool] = False
    """Whether it needs a task's row to tell that."""
    compares: ClassVar[bool] = False
    """Whether its scores are relative: of several answers to one prompt."""
    log_odds: ClassVar[bool] = False
    """Whether its scores are log-odds: a vote that one weighs counts as its probability."""

    @property
    def title(self) -> str:
        """What metrics and results call it."""
        return self.name or str(getattr(self, "type"))  # noqa: B009

    def applies(self, row: Mapping[str, Any]) -> bool:
        """Whether it judges answers to a row."""
        return all(row.get(key) in (value if isinstance(value, list) else [value]) for key, value in self.where.items())

    def asks(self) -> list[str]:
        """The models that it loads, as the recipe names them."""
        return []

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        """What a row lacks to be judged."""
        return None

    def check(self, context: StageContext, tasks: "Sequence[Task]") -> None:
        """Raise BurnishError where the judge could not judge the tasks, which have all that it reads."""

    @abstractmethod
    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        """The judge, ready; what it needs, such as a sandbox, is closed afterwards."""


class TaggedJudge(JudgeBase):
    """Keys of the judges that read the blocks of an answer."""

    think_tags: list[str] = Field(
        list(R1_TAGS.think), min_length=2, max_length=2, description="what begins and what ends the reasoning"
    )
    answer_tags: list[str] = Field(
        list(R1_TAGS.answer), min_length=2, max_length=2, description="what begins and what ends the answer"
    )

    @field_validator("think_tags", "answer_tags")
    @classmethod
    def _are_tags(cls, tags: list[str]) -> list[str]:
        if len({tag.strip() for tag in tags} - {""}) < len(tags):
            raise ValueError("expected two texts that differ, such as [<think>, </think>]")
        return tags

    @property
    def tags(self) -> Tags:
        """The blocks that it reads."""
        return Tags((self.think_tags[0], self.think_tags[1]), (self.answer_tags[0], self.answer_tags[1]))


def problem_of(read: Any, *arguments: Any) -> str | None:
    """What a function of rewards says of a row that it cannot use."""
    try:
        read(*arguments)
    except DataError as error:
        return str(error)
    return None


def raise_problems(problems: "Iterable[tuple[Task, str | None]]") -> None:
    """Raise DataError naming file and line of the first tasks with a problem."""
    found = [f"{task.place}: {problem}" for task, problem in problems if problem is not None]
    if found:
        more = [f"and {len(found) - SHOWN_ROWS} more"] if len(found) > SHOWN_ROWS else []
        raise DataError("\n".join(found[:SHOWN_ROWS] + more))
