"""grpo: group relative policy optimization (Shao 2024, arXiv:2402.03300) on rewards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from burnish.methods import grpo
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.eval_tasks import EvalTasksStage
from burnish.recipes.schema.stage import Metrics, StageContext
from burnish.recipes.schema.tooled import Tooled


class GrpoStage(grpo.Settings, Tooled, EvalTasksStage):
    """Samples groups of completions to each prompt and makes the better ones of a group more probable.

    An optimizer step learns from `training.batch_size` prompts, `num_generations` completions each. `rollouts/` has all
    that was sampled, with the rewards, one file for each rollout. With `eval_tasks` the policy is measured on held-out
    tasks before, every `training.eval_steps` and at the end, `num_generations_eval` answers each: rewards, lengths and
    pass@k under `eval_...`; `evaluations/` has all answers, one file for each time.
    """

    type: Literal["grpo"] = Field("grpo", description="grpo")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        yield from self.tool_problems()

    @property
    def scorings(self) -> int:
        changes = self.steps_per_generation * self.num_iterations > 1 or self.kl_in == "reward"
        return int(changes) + int(self.has_reference)

    @property
    def has_reference(self) -> bool:
        return self.beta > 0

    def run(self, context: StageContext) -> Metrics:
        decoder, tokenizer = context.load(self.model)
        tasks, base = self.read_tasks(context), context.path(self.model)
        open_box = self.open_box(context)
        from burnish.agents.acting import Acting  # which imports PyTorch

        acting = None if open_box is None else Acting(tokenizer, open_box, self.judged_call)
        with self.open_judges(context) as (rewards, heldout):
            return grpo.train(
                decoder, tokenizer, tasks, rewards, self, context, heldout=heldout, base=base, acting=acting
            )

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"reward": {self.name or self.type: metrics["rewards_by_time"]}} | super().summary(metrics)
