"""step_labels: answers with a label for each step, by rollouts; see `burnish.methods.step_labels`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from burnish.methods import step_labels
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import judged_work, probe_prompts
from burnish.recipes.schema.judges import JudgeConfig, check_judges, judge_problems, open_judges, read_judged_tasks
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import FileReference, LatestModel, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.runs.names import STEPS_FILE

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


class StepLabelsStage(step_labels.Settings, Prompted, StageConfig):
    """Samples answers, continues each of their steps several times, and labels a step by how often that ends right.

    Writes `steps.jsonl` for `process_reward_model`, and `outcomes.jsonl`, the same answers with one label each, for
    `outcome_reward_model`.
    """

    type: Literal["step_labels"] = Field("step_labels", description="step_labels")
    tasks: FileReference = Field(description="tasks: prompts with all that the judges read")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    judges: list[JudgeConfig] = Field(min_length=1, description="what tells right answers from wrong ones")
    model: LatestModel = Field(None, description="model that answers; the latest trained one if left out")

    produces: ClassVar[dict[ReferenceKind, str]] = {"file": STEPS_FILE}
    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from judge_problems(self.judges)
        if not any(judge.tells_right or judge.type == "python" for judge in self.judges):
            yield ("judges",), "none of them tells right from wrong, which is what steps are labelled by: add one"

    def check(self, context: StageContext) -> None:
        tasks = self._tasks(context)
        check_judges(context, self.judges, tasks)
        probe_prompts(context, tasks, str(self.model))

    def work(self, context: StageContext) -> "Work | None":
        n = self.samples * (1 + step_labels.USUAL_STEPS * self.rollouts)
        tasks, models, new = self._tasks(context), [str(self.model)], self.max_new_tokens
        return judged_work(context, tasks, models, self.judges, n=n, max_new_tokens=new)

    def run(self, context: StageContext) -> Metrics:
        load, judging = partial(context.load, self.model), partial(open_judges, context, self.judges)
        return step_labels.label_steps(context, load, self._tasks(context), judging, self)

    def _tasks(self, context: StageContext) -> "list[Task]":
        return self.with_system(context, read_judged_tasks(context, self.tasks, self.judges, columns=self.columns))
