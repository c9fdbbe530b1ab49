"""What the stages that learn from samples of their own have in common: tasks, rewards, and the work of rollouts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from burnish.methods.settings import RolloutSettings
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import decoding_work, probe_prompts, probe_shortest
from burnish.recipes.schema.judges import JudgeConfig, check_judges, judge_problems, read_judged_tasks, with_judges
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import FileReference, StageContext
from burnish.recipes.schema.training_stage import TrainingStage

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.recipes.plan.work import Work


class RolloutStage(Prompted, RolloutSettings, TrainingStage):
    """Base of the stages that sample from the policy and reward what it says.

    `rollouts/` has all that was sampled, with the rewards, one file for each rollout.
    """

    tasks: FileReference = Field(description="tasks: prompts with all that the rewards read")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    rewards: list[JudgeConfig] = Field(min_length=1, description="what a completion earns: the weighted sum of these")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        yield from judge_problems(self.rewards, "rewards")

    def read_tasks(self, context: StageContext) -> "list[Task]":
        """The tasks, each with all that the rewards read."""
        return self.with_system(context, read_judged_tasks(context, self.tasks, self.rewards, columns=self.columns))

    def check(self, context: StageContext) -> None:
        tasks = self.read_tasks(context)
        check_judges(context, self.rewards, tasks)
        self.n_rollouts(len(tasks), self.tasks)
        probe_prompts(context, tasks, str(self.model))
        probe_shortest(context, tasks, str(self.model), max_new_tokens=self.max_new_tokens)

    @property
    def scorings(self) -> int:
        """How often each rollout is scored before it is learned from."""
        return 2  # by the policy that sampled, and by the reference

    @property
    def networks(self) -> int:
        """How many networks of the model's size are trained."""
        return 1

    @property
    def has_reference(self) -> bool:
        """Whether the model that training starts from is asked again."""
        return True

    def held_beside(self, share: float) -> float:
        """Weights that are held beside the policy's, in models. share: of the weights that train, which are copied."""
        # Without its adapters the policy is the reference.
        return share * (self.networks - 1 + (self.has_reference and self.lora is None))

    def work(self, context: StageContext) -> "Work | None":
        tasks, new = self.read_tasks(context), self.max_new_tokens
        once = decoding_work(context, tasks, [str(self.model)], n=self.num_generations, max_new_tokens=new)
        if once is None:
            return None
        asked, rollouts = self.prompts_per_rollout(len(tasks)), self.n_rollouts(len(tasks), self.tasks)
        answers = asked * self.num_generations
        prompts = round(once.scored / max(1, len(tasks)) * asked)
        decoded = rollouts * answers * new
        layers, weights = self.trained_share(context)
        work = replace(
            once,
            steps=rollouts * self.passes * max(1, asked // self.training.batch_size),
            trained=self.passes * (decoded + rollouts * prompts),
            scored=self.scorings * (decoded + rollouts * prompts),
            decoded=decoded,
            rows=answers,
            layers=layers,
            weights=weights,
            micro_batch=self.training.micro_batch_tokens,
            networks=self.networks,
            copies=self.held_beside(weights),
        )
        return with_judges(work, context, self.rewards, decoded + rollouts * prompts)
