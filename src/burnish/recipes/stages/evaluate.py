"""evaluate: several models answer the same tasks, and judges say what the answers are worth."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.files import atomic_write_text
from burnish.methods import evaluate
from burnish.methods.measuring import Metrics
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import evaluation_work
from burnish.recipes.schema.formed import Formed, form_of, form_problems
from burnish.recipes.schema.grouped import Grouped
from burnish.recipes.schema.heldout_text import corpus_problems, heldout_tokens, measured
from burnish.recipes.schema.judges import check_votes, likelihood_choices
from burnish.recipes.schema.measured_tasks import MeasuredTasks
from burnish.recipes.schema.retrieval import RetrievalConfig
from burnish.recipes.schema.stage import CorpusReference, ModelReference, Name, ReferenceKind, StageConfig, StageContext
from burnish.recipes.schema.tooled import Tooled
from burnish.runs.names import RESULTS_FILE

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


class EvaluateStage(evaluate.Settings, Grouped, MeasuredTasks, Formed, Tooled, StageConfig):
    """Accuracy of each model with a bootstrap interval, over all tasks and by group; all answers are kept.

    Where no judge tells right from wrong it is the mean score instead. With `samples` it is the mean over them, and
    pass@k and cons@k stand beside it; `grammar` adds `LABEL+grammar`, `tools` `LABEL+tools`. Writes `results.json`,
    `answers-LABEL.jsonl` and, of conversations with tools, `traces-LABEL.jsonl`.
    """

    type: Literal["evaluate"] = Field("evaluate", description="evaluate")
    models: dict[Name, ModelReference] = Field(min_length=1, description="label: model, for example {final: '@dpo'}")
    metric: Name | None = Field(
        None,
        description="name of the score in summary.json, best one that ends in _accuracy; accuracy, or score where no "
        "judge tells right from wrong, if left out",
    )
    corpus: CorpusReference | None = Field(None, description="corpus on whose held-out text perplexity is measured")
    retrieval: RetrievalConfig | None = Field(None, description="what each model is asked with, as `LABEL+retrieval`")

    produces: ClassVar[dict[ReferenceKind, str]] = {"evaluation": RESULTS_FILE}
    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from self.tool_problems()
        yield from (((key,), text) for key, text in self.contradictions())
        yield from form_problems(self.grammar, self.judges)
        yield from self.judge_problems(self.samples, self.votes, self.choose)
        yield from self.group_problems(self.models)

    def problems_among(self, producers: Mapping[str, StageConfig]) -> Iterator[tuple[KeyPath, str]]:
        yield from corpus_problems(self.corpus, self.models.values(), producers)

    def check(self, context: StageContext) -> None:
        self.check_tasks(context, self._tasks(context), *self.models.values(), max_new_tokens=self.max_new_tokens)

    def work(self, context: StageContext) -> "Work | None":
        passages = None if self.retrieval is None else self.retrieval.tokens
        forms, plain = 1 + (self.grammar is not None) + self.turns, not self.apply_chat_template
        rows, text = self._tasks(context), heldout_tokens(context, self.corpus)
        return evaluation_work(context, rows, self.models, self, self.judges, passages, forms, plain=plain, text=text)

    def run(self, context: StageContext) -> Metrics:
        metrics: Metrics = evaluate.evaluate(
            context,
            self.loads(context, self.models),
            self._tasks(context),
            self.opening(context),
            self,
            choices=likelihood_choices(self.judges),
            groups=self.group_of,
            reported={name: (score.model, score.members) for name, score in self.report.items()},
            retrieval=None if self.retrieval is None else self.retrieval.retrieval(context),
            form=form_of(context, self.grammar, self.judges),
            tools=self.tools_at_hand(context),
        )
        metrics |= measured(context, self.corpus, self.models)
        atomic_write_text(context.folder / RESULTS_FILE, json.dumps(metrics, indent=2) + "\n")
        return metrics

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        reported = {name: wanted.model for name, wanted in self.report.items()}
        return evaluate.summarized(metrics, self.metric, [judge.title for judge in self.judges], reported)

    def _tasks(self, context: StageContext) -> "list[Task]":
        tasks = self.read_tasks(context)
        check_votes(tasks, self.judges, self.votes, self.choose)
        self.check_groups(tasks)
        return tasks
