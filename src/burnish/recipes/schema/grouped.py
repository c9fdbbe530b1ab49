"""Groups of tasks, and the scores of some of them that a summary names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.language.places import KeyPath, did_you_mean
from burnish.recipes.schema.stage import Name, StrictModel

if TYPE_CHECKING:
    from burnish.datasets.rows import Task


class ReportedScore(StrictModel):
    """A score that the summary names: that of one model on one group of tasks, or on several together."""

    model: str = Field(description="label of the model")
    group: str | Annotated[list[str], Field(min_length=1)] = Field(
        description="value of the `groups` key, or several whose tasks are taken together"
    )

    @property
    def members(self) -> list[str]:
        """The groups whose tasks count."""
        return [self.group] if isinstance(self.group, str) else self.group


class Grouped(StrictModel):
    """Keys of a stage whose tasks may be of several groups."""

    groups: str | None = Field(None, description="key of the tasks by whose values scores are also given apart")
    report: dict[Name, ReportedScore] = Field({}, description="further scores in summary.json: name: {model, group}")

    def group_problems(self, models: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
        """What is wrong with the scores that are to be reported."""
        for name, score in self.report.items():
            if score.model not in models:
                hint = did_you_mean(score.model, models) or "."
                yield (
                    ("report", name, "model"),
                    f"got '{score.model}'; not a label of `models`{hint} Expected one of: {', '.join(models)}",
                )
            if name in models:
                yield ("report", name), "is also a label of `models`; choose another name"
            if self.groups is None:
                yield (
                    ("report", name, "group"),
                    f"got '{', '.join(score.members)}'; needs `groups`, the key that tells the groups",
                )

    def group_of(self, task: "Task") -> str | None:
        """The group of a task; None where there are none."""
        return None if self.groups is None else str(task.row[self.groups])

    def check_groups(self, tasks: "Sequence[Task]") -> None:
        """Raise DataError where a task has no group, or a group that is to be reported has no task."""
        if self.groups is None:
            return
        check_group_key(tasks, self.groups)
        there = sorted({str(self.group_of(task)) for task in tasks})
        for name, score in self.report.items():
            for group in score.members:
                if group not in there:
                    hint = did_you_mean(group, there) or "."
                    raise DataError(
                        f"report.{name}.group: no task has '{self.groups}: {group}'{hint} It has: {', '.join(there)}"
                    )


def check_group_key(tasks: "Sequence[Task]", key: str) -> None:
    """Raise DataError naming file and line of a task without the key that tells groups apart."""
    for task in tasks:
        if task.row.get(key) is None:
            raise DataError(f"{task.place}: the key '{key}', which tells the groups apart, is missing")
