"""grpo: group relative policy optimization (Shao 2024, arXiv:2402.03300) on rewards."""

from typing import Any, Literal

from pydantic import Field

from burnish.methods import grpo
from burnish.recipes.schema.eval_tasks import EvalTasksStage
from burnish.recipes.schema.grouped import check_group_key
from burnish.recipes.schema.judges import open_judges
from burnish.recipes.schema.stage import Metrics, StageContext


class GrpoStage(grpo.Settings, EvalTasksStage):
    """Samples groups of completions to each prompt and makes the better ones of a group more probable.

    An optimizer step learns from `training.batch_size` prompts, `num_generations` completions each. `rollouts/` has all
    that was sampled, with the rewards, one file for each rollout. With `eval_tasks` the policy is measured on held-out
    tasks before, every `training.eval_steps` and at the end, `num_generations_eval` answers each: rewards, lengths and
    pass@k under `eval_...`; `evaluations/` has all answers, one file for each time.
    """

    type: Literal["grpo"] = Field("grpo", description="grpo")

    @property
    def scorings(self) -> int:
        changes = self.steps_per_generation * self.num_iterations > 1 or self.kl_in == "reward"
        return int(changes) + int(self.has_reference)

    @property
    def has_reference(self) -> bool:
        return self.beta > 0

    def check(self, context: StageContext) -> None:
        super().check(context)
        if self.groups is not None:
            check_group_key([*self.read_tasks(context), *self.read_eval_tasks(context)], self.groups)

    def run(self, context: StageContext) -> Metrics:
        from burnish.methods.heldout_tasks import HeldOutTasks

        decoder, tokenizer = context.load(self.model)
        tasks, asked, base = self.read_tasks(context), self.read_eval_tasks(context), context.path(self.model)
        with open_judges(context, self.rewards) as rewards, open_judges(context, self.eval_judges) as judges:
            heldout = HeldOutTasks(asked, judges or rewards) if asked else None
            return grpo.train(decoder, tokenizer, tasks, rewards, self, context, heldout=heldout, base=base)

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        name = self.name or self.type
        found = {"reward": {name: metrics["rewards_by_time"]}}
        return found | ({"heldout": {name: metrics["heldout"]}} if "heldout" in metrics else {})
