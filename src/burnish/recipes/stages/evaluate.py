"""evaluate: several models answer the same tasks, and judges say what the answers are worth."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.files import atomic_write_text
from burnish.methods import evaluate
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema import judges as judging
from burnish.recipes.schema.asking import decoding_work, probe_prompts
from burnish.recipes.schema.grouped import Grouped
from burnish.recipes.schema.heldout_text import measured, nothing_held_out
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import (
    CorpusReference,
    FileReference,
    Metrics,
    ModelReference,
    Name,
    ReferenceKind,
    StageConfig,
    StageContext,
)
from burnish.runs.names import RESULTS_FILE

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


class EvaluateStage(evaluate.Settings, Grouped, Prompted, StageConfig):
    """Accuracy of each model with a bootstrap interval, over all tasks and by group; all answers are kept.

    Where no judge tells right from wrong it is the mean score instead. Writes `answers-LABEL.jsonl` for each model and
    `results.json`.
    """

    type: Literal["evaluate"] = Field("evaluate", description="evaluate")
    tasks: FileReference = Field(description="tasks: prompts with all that the judges read")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    judges: list[judging.JudgeConfig] = Field(
        min_length=1, description="what judges the answers; see the page on judges"
    )
    models: dict[Name, ModelReference] = Field(min_length=1, description="label: model, for example {final: '@dpo'}")
    metric: Name | None = Field(
        None,
        description="name of the score in summary.json, best one that ends in _accuracy; accuracy, or score where no "
        "judge tells right from wrong, if left out",
    )
    corpus: CorpusReference | None = Field(None, description="corpus on whose held-out text perplexity is measured")

    produces: ClassVar[dict[ReferenceKind, str]] = {"evaluation": RESULTS_FILE}
    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from judging.judge_problems(self.judges)
        yield from judging.alone_problems(self.judges, self.votes, self.choose)
        yield from self.group_problems(self.models)

    def problems_among(self, producers: Mapping[str, StageConfig]) -> Iterator[tuple[KeyPath, str]]:
        text = nothing_held_out(self.corpus, producers)
        if text is not None:
            yield ("corpus",), text

    def check(self, context: StageContext) -> None:
        tasks = self._tasks(context)
        judging.check_judges(context, self.judges, tasks)
        probe_prompts(context, tasks, *self.models.values())

    def work(self, context: StageContext) -> "Work | None":
        tasks, models, new = self._tasks(context), list(self.models.values()), self.max_new_tokens
        return decoding_work(context, tasks, models, n=self.votes, max_new_tokens=new)

    def run(self, context: StageContext) -> Metrics:
        loads = {label: partial(context.load, model) for label, model in self.models.items()}
        opening, choices = partial(judging.open_judges, context, self.judges), judging.likelihood_choices(self.judges)
        wanted = {name: (score.model, score.members) for name, score in self.report.items()}
        metrics: Metrics = evaluate.evaluate(
            context, loads, self._tasks(context), opening, self, choices=choices, groups=self.group_of, reported=wanted
        )
        metrics |= measured(context, self.corpus, self.models)
        atomic_write_text(context.folder / RESULTS_FILE, json.dumps(metrics, indent=2) + "\n")
        return metrics

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        reported = {name: wanted.model for name, wanted in self.report.items()}
        return evaluate.summarized(metrics, self.metric, [judge.title for judge in self.judges], reported)

    def _tasks(self, context: StageContext) -> "list[Task]":
        tasks = judging.read_judged_tasks(context, self.tasks, self.judges, columns=self.columns)
        judging.check_votes(tasks, self.judges, self.votes, self.choose)
        self.check_groups(tasks)
        return self.with_system(context, tasks)
