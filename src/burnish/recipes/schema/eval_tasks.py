"""Held-out tasks on which a policy is measured while it learns: the file, who judges, and the work of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import decoding_work
from burnish.recipes.schema.grouped import check_group_key
from burnish.recipes.schema.judges import (
    JudgeConfig,
    check_judges,
    judge_problems,
    open_judges,
    read_judged_tasks,
    with_judges,
)
from burnish.recipes.schema.rollout_stage import RolloutStage
from burnish.recipes.schema.stage import FileReference, Metrics, StageContext

if TYPE_CHECKING:
    from pathlib import Path

    from burnish.datasets.rows import Task
    from burnish.methods.heldout_tasks import HeldOutTasks
    from burnish.recipes.plan.work import Work
    from burnish.rewards.judgement import WeightedJudge


class EvalTasksStage(RolloutStage):
    """Base of the stages that sample from the policy, and may measure it on tasks that it never learns from.

    Before training, every `training.eval_steps` and at the end it gives `num_generations_eval` answers to each:
    rewards, lengths and pass@k under `eval_...`; `evaluations/` has all answers, one file for each time.
    """

    eval_tasks: FileReference | None = Field(None, description="held-out tasks to measure on, never trained on")
    eval_judges: list[JudgeConfig] = Field([], description="what judges the answers to these; `rewards` if left out")

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

    @contextmanager
    def open_judges(self, context: StageContext) -> Iterator["tuple[Sequence[WeightedJudge], HeldOutTasks | None]"]:
        """What rewards the policy, and the held-out tasks with what judges these; None where none are held out."""
        from burnish.methods.heldout_tasks import HeldOutTasks

        asked = self.read_eval_tasks(context)
        with open_judges(context, self.rewards) as rewards, open_judges(context, self.eval_judges) as judges:
            yield rewards, HeldOutTasks(asked, judges or rewards) if asked else None

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"heldout": {self.name or self.type_name(): metrics["heldout"]}} if "heldout" in metrics else {}

    def check(self, context: StageContext) -> None:
        super().check(context)
        asked = self.read_eval_tasks(context)
        check_judges(context, self.judges, asked)
        if self.groups is not None:
            check_group_key([*self.read_tasks(context), *asked], self.groups)

    def work(self, context: StageContext) -> "Work | None":
        work, tasks = super().work(context), self.read_eval_tasks(context)
        n, new = self.num_generations_eval, self.max_new_tokens
        once = decoding_work(context, tasks, [str(self.model)], n=n, max_new_tokens=new) if tasks else None
        if work is None or once is None:
            return work
        every = self.training.eval_steps
        times = 2 + ((work.steps - 1) // every if every is not None else 0)  # before, on the way, at the end
        scored, decoded = work.scored + times * once.scored, work.decoded + times * once.decoded
        work = replace(work, scored=scored, decoded=decoded, longest=max(work.longest, once.longest))
        judged = with_judges(work, context, self.judges, times * (once.scored + once.decoded))
        return judged if self.eval_judges else replace(judged, beside=work.beside)  # the rewards are loaded already
