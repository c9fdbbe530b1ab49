"""Tasks that models are measured on: the file, who judges and ranks, and how the models are asked."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from burnish.methods.answering import Judging, Load
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema import judges as judging
from burnish.recipes.schema.asking import probe_longest, without_template
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import FileReference, StageContext
from burnish.rewards.votes import Choose

if TYPE_CHECKING:
    from burnish.datasets.rows import Task


def asked_plainly(context: StageContext, models: Mapping[str, str]) -> dict[str, Load]:
    """What loads each model, by label, to go on with the text of prompts."""

    def load(model: str) -> Any:
        decoder, tokenizer = context.load(model)
        return decoder, without_template(tokenizer)

    return {label: partial(load, model) for label, model in models.items()}


class MeasuredTasks(Prompted):
    """Keys of a stage that measures models on tasks."""

    tasks: FileReference = Field(description="tasks: prompts with all that the judges read")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    limit: int | None = Field(None, ge=1, description="only so many of the first tasks")
    apply_chat_template: bool = Field(
        True, description="whether prompts are asked through the model's chat template; else their text is continued"
    )
    judges: list[judging.JudgeConfig] = Field(
        min_length=1, description="what judges the answers; see the page on judges"
    )

    def judge_problems(self, samples: int, votes: int, choose: Choose) -> Iterator[tuple[KeyPath, str]]:
        """What is wrong with the judges where each task has so many answers."""
        yield from judging.judge_problems(self.judges)
        yield from judging.alone_problems(self.judges, votes, choose)
        for index, judge in enumerate(self.judges if samples > 1 else ()):
            if getattr(judge, "likelihood", None) is not None:
                text = f"options are chosen by likelihood, once, and there are samples: {samples}; set likelihood: null"
                yield ("judges", index, "likelihood"), text

    def read_tasks(self, context: StageContext) -> "list[Task]":
        """The tasks, each with all that its judges read. Raises DataError naming file and line."""
        tasks = judging.read_judged_tasks(context, self.tasks, self.judges, columns=self.columns)
        return self.with_system(context, tasks[: self.limit])

    def check_tasks(self, context: StageContext, tasks: "list[Task]", *models: str, max_new_tokens: int) -> None:
        """Raise BurnishError for a task that a judge cannot judge, a template refuses, or that leaves no room."""
        judging.check_judges(context, self.judges, tasks)
        if self.apply_chat_template:
            chosen = any(getattr(judge, "likelihood", None) is not None for judge in self.judges)
            probe_longest(context, tasks, *models, max_new_tokens=0 if chosen else max_new_tokens)

    def loads(self, context: StageContext, models: Mapping[str, str]) -> dict[str, Load]:
        """What loads each model, by label."""
        if self.apply_chat_template:
            return {label: partial(context.load, model) for label, model in models.items()}
        return asked_plainly(context, models)

    def opening(self, context: StageContext) -> Judging:
        """Opens the judges."""
        return partial(judging.open_judges, context, self.judges)
