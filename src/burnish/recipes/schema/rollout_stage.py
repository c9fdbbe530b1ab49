"""What the stages that learn from samples of their own have in common: tasks, rewards, and the rollouts."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import decoding_work, probe_prompts
from burnish.recipes.schema.judges import JudgeConfig, check_judges, judge_problems, open_judges, read_judged_tasks
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import FileReference, StageContext
from burnish.recipes.schema.training_stage import TrainingStage
from burnish.runs.names import PARTIAL_FOLDER, ROLLOUTS_FOLDER

if TYPE_CHECKING:
    from burnish.datasets.examples import Prompt
    from burnish.datasets.rows import Task
    from burnish.methods.rollouts import Columns, RolloutConfig, Rollouts
    from burnish.nn.decoder import Decoder
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer


class RolloutStage(Prompted, TrainingStage):
    """Base of the stages that sample from the policy and reward what it says.

    `rollouts/` has all that was sampled, with the rewards, one file for each rollout.
    """

    tasks: FileReference = Field(description="tasks: prompts with all that the rewards read")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    rewards: list[JudgeConfig] = Field(min_length=1, description="what a completion earns: the weighted sum of these")
    rollouts: int | None = Field(
        None, ge=1, description="how often to sample; `training.epochs` over the tasks if null"
    )
    temperature: float = Field(1.0, gt=0, description="1 samples from the model itself; the loss is of the same policy")
    max_new_tokens: int = Field(128, ge=1, description="longest completion, in tokens")

    @property
    @abstractmethod
    def prompts_per_rollout(self) -> int:
        """Prompts that a rollout samples answers to."""

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        yield from judge_problems(self.rewards, "rewards")

    def check(self, context: StageContext) -> None:
        tasks = self.with_system(context, read_judged_tasks(context, self.tasks, self.rewards, columns=self.columns))
        check_judges(context, self.rewards, tasks)
        self.n_rollouts(len(tasks), self.prompts_per_rollout)
        probe_prompts(context, tasks, str(self.model))

    @abstractmethod
    def rollout_config(self) -> "RolloutConfig":
        """How a rollout is sampled."""

    @abstractmethod
    def passes(self) -> int:
        """How often a rollout is learned from."""

    def work(self, context: StageContext) -> "Work | None":
        tasks = self.with_system(context, read_judged_tasks(context, self.tasks, self.rewards, columns=self.columns))
        config, new = self.rollout_config(), self.max_new_tokens
        once = decoding_work(context, tasks, [str(self.model)], n=config.num_generations, max_new_tokens=new)
        if once is None:
            return None
        answers = config.prompts * config.num_generations
        rollouts = self.rollouts or max(1, round(self.training.epochs * len(tasks) / config.prompts))
        prompts = round(once.scored / max(1, len(tasks)) * config.prompts)
        decoded = rollouts * answers * new
        layers, weights = self.trained_share(context)
        return replace(
            once,
            steps=rollouts * self.passes() * (config.prompts // self.training.batch_size),
            trained=self.passes() * (decoded + rollouts * prompts),
            scored=2 * (decoded + rollouts * prompts),  # by the policy that sampled, and by the reference
            decoded=decoded,
            rows=answers,
            layers=layers,
            weights=weights,
            micro_batch=self.training.micro_batch_tokens,
        )

    def read(
        self, context: StageContext, decoder: "Decoder", tokenizer: "Tokenizer"
    ) -> "tuple[list[Task], list[Prompt], int]":
        """The tasks whose prompts leave room for a completion, these prompts, and how many tasks were dropped."""
        from burnish.datasets.examples import task_prompts

        tasks = self.with_system(context, read_judged_tasks(context, self.tasks, self.rewards, columns=self.columns))
        room = (tokenizer.context_length or decoder.config.max_positions) - self.max_new_tokens
        prompts, report = task_prompts(tasks, tokenizer, max_length=room)
        context.report(report)
        if not prompts:
            raise DataError(
                f"{self.tasks}: no prompt leaves room for {self.max_new_tokens} new tokens in the model's context; "
                f"lower max_new_tokens ({self.max_new_tokens})"
            )
        dropped = {(file, line) for file, line, _ in report.dropped}
        return [task for task in tasks if (task.place.file, task.place.line) not in dropped], prompts, len(dropped)

    @contextmanager
    def sampling(
        self,
        context: StageContext,
        decoder: "Decoder",
        tokenizer: "Tokenizer",
        tasks: "list[Task]",
        prompts: "list[Prompt]",
        config: "RolloutConfig",
        columns: "Columns",
    ) -> "Iterator[tuple[Rollouts, int]]":
        """The rollouts, with the rewards open, and how many there will be."""
        from burnish.methods.rollouts import Rollouts

        with open_judges(context, self.rewards) as rewards:
            rollouts = Rollouts(
                decoder,
                tokenizer,
                tasks,
                prompts,
                rewards,
                config,
                columns=columns,
                folder=context.folder / ROLLOUTS_FOLDER,
                store=context.folder / PARTIAL_FOLDER / ROLLOUTS_FOLDER,
                seed=context.seed,
                identity=context.key,
            )
            yield rollouts, self.n_rollouts(len(tasks), config.prompts)

    def n_rollouts(self, n_tasks: int, prompts: int) -> int:
        """How often to sample so many prompts. Raises DataError where that is not once."""
        if self.rollouts is not None:
            return self.rollouts
        share = self.training.epochs * n_tasks / prompts
        if round(share) == 0:
            raise DataError(
                f"{self.tasks}: there would be 0 rollouts, and nothing learned: training.epochs "
                f"{self.training.epochs:g} of {n_tasks} tasks are {share:.2g} rollouts of {prompts} prompts; set "
                f"rollouts, raise training.epochs to {prompts / n_tasks:.2g}, or lower training.batch_size"
            )
        return round(share)
