"""Held-out tasks on which a policy is measured while it learns: the file, who judges, and the work of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import decoding_work
from burnish.recipes.schema.judges import JudgeConfig, check_judges, judge_problems, read_judged_tasks
from burnish.recipes.schema.rollout_stage import RolloutStage
from burnish.recipes.schema.stage import FileReference, StageContext

if TYPE_CHECKING:
    from pathlib import Path

    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


class EvalTasksStage(RolloutStage):
    """Base of the stages that sample from the policy, and may measure it on tasks that it never learns from."""

    eval_tasks: FileReference | None = Field(None, description="held-out tasks to measure on, never trained on")
    eval_judges: list[JudgeConfig] = Field([], description="what judges the answers to these; `rewards` if left out")

    if TYPE_CHECKING:
        num_generations_eval: int

    @property
    def judges(self) -> Sequence[JudgeConfig]:
        """What judges the answers to held-out tasks."""
        return self.eval_judges or self.rewards

    def problems(self, folder: "Path") -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        yield from judge_problems(self.eval_judges, "eval_judges")
        every = self.training.eval_steps
        if self.eval_tasks is None and self.eval_judges:
            yield ("eval_judges",), "has nothing to judge: set `eval_tasks`, the held-out tasks, or remove it"
        if self.eval_tasks is None and every is not None:
            yield ("training", "eval_steps"), f"got {every}, and nothing is held out: set `eval_tasks`, or remove it"

    def read_eval_tasks(self, context: StageContext) -> "list[Task]":
        """The held-out tasks, each with all that the judges read; none where there are none."""
        if self.eval_tasks is None:
            return []
        tasks = read_judged_tasks(context, self.eval_tasks, self.judges, columns=self.columns)
        return self.with_system(context, tasks)

    def check(self, context: StageContext) -> None:
        super().check(context)
        check_judges(context, self.judges, self.read_eval_tasks(context))

    def work(self, context: StageContext) -> "Work | None":
        work, tasks = super().work(context), self.read_eval_tasks(context)
        n, new = self.num_generations_eval, self.max_new_tokens
        once = decoding_work(context, tasks, [str(self.model)], n=n, max_new_tokens=new) if tasks else None
        if work is None or once is None:
            return work
        every = self.training.eval_steps
        times = 2 + ((work.steps - 1) // every if every is not None else 0)  # before, on the way, at the end
        scored, decoded = work.scored + times * once.scored, work.decoded + times * once.decoded
        return replace(work, scored=scored, decoded=decoded, longest=max(work.longest, once.longest))
