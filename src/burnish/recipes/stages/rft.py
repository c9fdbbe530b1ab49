"""rft: rejection-sampling fine-tuning (Yuan 2023, arXiv:2308.01825), offline or online."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from burnish.methods import rft
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.eval_tasks import EvalTasksStage
from burnish.recipes.schema.judges import tell_right
from burnish.recipes.schema.stage import Metrics, StageContext


class RftStage(rft.Settings, EvalTasksStage):
    """Samples answers to each prompt, and imitates those that are right or score well enough.

    Offline, `rollouts` rounds sample all tasks, the first before anything trains; an optimizer step learns from
    `training.batch_size` answers. Online, a rollout is of as many prompts, sampled from the model as it is.
    `rollouts/` has all that was sampled, with the rewards and what was kept, one file for each rollout. With
    `eval_tasks` the model is measured on held-out tasks before, every `training.eval_steps` and at the end.
    """

    type: Literal["rft"] = Field("rft", description="rft")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.threshold is None and not tell_right(self.rewards):
            yield ("rewards",), "none tells right from wrong: set `threshold`, the least score that is accepted"

    @property
    def scorings(self) -> int:
        return 0

    @property
    def has_reference(self) -> bool:
        return False

    def run(self, context: StageContext) -> Metrics:
        decoder, tokenizer = context.load(self.model)
        tasks, base = self.read_tasks(context), context.path(self.model)
        with self.open_judges(context) as (rewards, heldout):
            return rft.train(decoder, tokenizer, tasks, rewards, self, context, heldout=heldout, base=base)

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"accepted": {self.name or self.type: metrics["accuracy_by_time"]}} | super().summary(metrics)
