"""sample: several answers to each task, judged, giving preference pairs, and answers to imitate."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.methods import preferences
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import judged_work, probe_longest
from burnish.recipes.schema.formed import Formed, form_of, form_problems
from burnish.recipes.schema.judges import (
    JudgeConfig,
    check_judges,
    judge_problems,
    open_judges,
    read_judged_tasks,
    tell_right,
)
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import (
    FileReference,
    LatestModel,
    Metrics,
    ModelReference,
    Name,
    ReferenceKind,
    StageConfig,
    StageContext,
)
from burnish.runs.names import PAIRS_FILE

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


class SampleStage(preferences.Settings, Prompted, Formed, StageConfig):
    """Writes `samples.jsonl`, all answers with their judgements, and `pairs.jsonl`, preferences for dpo.

    With judges that tell right from wrong, a prompt gives pairs if it has right and wrong answers. Of its wrong answers
    the most probable are taken first: they are what the model would say, so what it has to unlearn. With other judges,
    the best answer makes a pair with the worst, the second best with the second worst, as long as their scores differ.
    Answers cut off at `max_new_tokens` make no pairs. With `choose` also `chosen.jsonl`, answers to imitate, which a
    stage of type sft reads as `@sample/chosen.jsonl`.
    """

    type: Literal["sample"] = Field("sample", description="sample")
    tasks: FileReference = Field(description="tasks: prompts with all that the judges read")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    judges: list[JudgeConfig] = Field(
        min_length=1, description="what tells good answers from bad ones; see the page on judges"
    )
    model: LatestModel = Field(None, description="model that answers; the latest trained one if left out")
    others: dict[Name, ModelReference] = Field(
        {}, description="further models that answer too, such as a snapshot: {early: '@sft/snapshots/100'}"
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"preferences": PAIRS_FILE}
    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from judge_problems(self.judges)
        yield from form_problems(self.grammar, self.judges)
        if self.choose in ("votes", "weighted_votes") and not any(judge.elects for judge in self.judges):
            yield ("choose",), f"got '{self.choose}'; no judge here can tell which answers come to the same"
        if self.choose == "weighted_votes" and all(judge.tells_right for judge in self.judges):
            yield ("choose",), f"got '{self.choose}'; every judge here tells right from wrong: add one that scores"
        if self.choose == "accepted" and self.threshold is None and not tell_right(self.judges):
            yield ("choose",), "got 'accepted'; no judge here tells right from wrong: set `threshold`"

    def check(self, context: StageContext) -> None:
        tasks = self._tasks(context)
        check_judges(context, self.judges, tasks)
        probe_longest(context, tasks, str(self.model), *self.others.values(), max_new_tokens=self.max_new_tokens)

    def work(self, context: StageContext) -> "Work | None":
        models = [str(self.model), *self.others.values()]
        n = self.samples * (1 + len(self.temperatures))
        tasks, new = self._tasks(context), self.max_new_tokens
        return judged_work(context, tasks, models, self.judges, n=n, max_new_tokens=new)

    def run(self, context: StageContext) -> Metrics:
        return preferences.sample_preferences(
            context,
            partial(context.load, self.model),
            self._tasks(context),
            partial(open_judges, context, self.judges),
            self,
            tells_right=any(judge.tells_right for judge in self.judges),
            others={label: partial(context.load, model) for label, model in self.others.items()},
            form=form_of(context, self.grammar, self.judges),
        )

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"pairs": metrics["pairs"]}

    def _tasks(self, context: StageContext) -> "list[Task]":
        return self.with_system(context, read_judged_tasks(context, self.tasks, self.judges, columns=self.columns))
