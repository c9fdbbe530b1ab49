"""grpo: group relative policy optimization (Shao 2024, arXiv:2402.03300) on rewards."""

from typing import Any, Literal

from pydantic import Field

from burnish.methods import grpo
from burnish.recipes.schema.judges import open_judges
from burnish.recipes.schema.rollout_stage import RolloutStage
from burnish.recipes.schema.stage import Metrics, StageContext


class GrpoStage(grpo.Settings, RolloutStage):
    """Samples groups of completions to each prompt and makes the better ones of a group more probable.

    An optimizer step learns from `training.batch_size` prompts, `num_generations` completions each. `rollouts/` has all
    that was sampled, with the rewards, one file for each rollout.
    """

    type: Literal["grpo"] = Field("grpo", description="grpo")

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
        with open_judges(context, self.rewards) as rewards:
            return grpo.train(decoder, tokenizer, tasks, rewards, self, context, base=base)

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"reward": {self.name or self.type: metrics["rewards_by_time"]}}
