"""ppo: proximal policy optimization (Schulman 2017, Ouyang 2022) against rewards of sampled answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import DataError, RecipeError
from burnish.nn.config import DecoderConfig
from burnish.recipes.problems import KeyPath
from burnish.recipes.rewards import RewardConfig, open_rewards, read_rewarded_tasks, reward_names
from burnish.recipes.stage import (
    PARTIAL_FOLDER,
    FileReference,
    Metrics,
    RewardModelReference,
    StageContext,
    StrictModel,
)
from burnish.recipes.training_stage import TrainingStage
from burnish.training.ppo_settings import PPOSettings

if TYPE_CHECKING:
    from burnish.datasets.examples import Prompt
    from burnish.datasets.rows import Task
    from burnish.nn.decoder import Decoder
    from burnish.nn.scalar import ScalarModel
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.rollouts import RolloutConfig

ROLLOUTS_FOLDER = "rollouts"


class CriticConfig(StrictModel):
    """The critic, which says what is still to be earned after each token."""

    type: Literal["head", "network"] = Field(
        "head",
        description="head: on the policy's own hidden states; network: a model of its own, which starts as the policy",
    )
    model: RewardModelReference | None = Field(
        None, description="reward model that a network starts from: @STAGE or a folder; the policy if left out"
    )


class PpoStage(PPOSettings, TrainingStage):
    """Raises the reward of the answers that the model samples, at a price for leaving the model it started from.

    An optimizer step learns from the answers to `training.batch_size` prompts; a rollout has `num_mini_batches` times
    as many, and is learned from `num_ppo_epochs` times. `rollouts/` has all that was sampled, with the rewards.
    """

    type: Literal["ppo"] = Field("ppo", description="ppo")
    tasks: FileReference = Field(description="tasks: prompts with all that the rewards read")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    rewards: list[RewardConfig] = Field(min_length=1, description="what an answer earns: the weighted sum of these")
    critic: CriticConfig = Field(CriticConfig.model_validate({}), description="the critic")
    rollouts: int | None = Field(
        None, ge=1, description="how often to sample; `training.epochs` over the tasks if null"
    )
    num_generations: int = Field(1, ge=1, description="answers to each prompt of a rollout")
    temperature: float = Field(1.0, gt=0, description="1 samples from the model itself; all losses are of this policy")
    max_new_tokens: int = Field(128, ge=1, description="longest answer, in tokens")
    cliprange: float = Field(0.2, gt=0, lt=1, description="ε, how far the ratio to the sampling policy is followed")
    cliprange_value: float | None = Field(
        0.2, gt=0, description="how far values may move from those of the rollout; null: any distance"
    )
    vf_coef: float = Field(0.1, ge=0, description="weight of the critic's loss")
    entropy_coef: float = Field(0.0, ge=0, description="weight of the entropy bonus")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.critic.model is not None and self.critic.type == "head":
            yield (
                ("critic", "model"),
                f"got '{self.critic.model}'; a head has no model of its own to start: set type: network, or remove it",
            )
        if self.use_score_norm and not self.use_score_scaling:
            yield ("use_score_norm",), "got true without use_score_scaling: set that too, or remove it"
        names = reward_names(self.rewards)
        for index, name in enumerate(names):
            if name in names[:index]:
                yield ("rewards", index), f"a reward named '{name}' is there already: give one of them another `name`"

    def check(self, context: StageContext) -> None:
        read_rewarded_tasks(context, self.tasks, self.rewards, columns=self.columns)

    def check_model(self, model: DecoderConfig) -> None:
        super().check_model(model)
        if model.logits_softcap is not None and self.temperature != 1:
            raise RecipeError(
                f"{self.name or self.type_name()}.temperature: got {self.temperature:g}; the model caps its logits, "
                "and its log-probabilities are computed at temperature 1 only: expected 1"
            )

    def disk_bytes(self, n_parameters: int) -> int:
        """As every training, and once more the state of a critic that is a network of its own."""
        return super().disk_bytes(n_parameters) + (2 * 3 * 4 * n_parameters if self.critic.type == "network" else 0)

    def run(self, context: StageContext) -> Metrics:
        from burnish.nn.actor_critic import ActorCritic, Reference
        from burnish.objectives.ppo import PPO
        from burnish.training.ppo import PPOSteps, rollout_columns
        from burnish.training.rollouts import Rollouts

        decoder, tokenizer = context.load(self.model)
        tasks, prompts, n_dropped = self.read(context, decoder, tokenizer)
        self.make_trainable(context, decoder)
        reference = Reference(decoder)
        critic = self.make_critic(context, decoder, tokenizer)
        model = ActorCritic(decoder, critic, kl_coef=self.kl_coef, temperature=self.temperature)
        with open_rewards(context, self.rewards) as rewards:
            rollouts = Rollouts(
                decoder,
                tokenizer,
                tasks,
                prompts,
                rewards,
                self.rollout_config(),
                columns=rollout_columns(model, reference),
                folder=context.folder / ROLLOUTS_FOLDER,
                store=context.folder / PARTIAL_FOLDER / ROLLOUTS_FOLDER,
                seed=context.seed,
                identity=context.key,
            )
            n_rollouts = self.rollouts or max(1, round(self.training.epochs * len(tasks) / rollouts.config.prompts))
            steps = PPOSteps(model, rollouts, self, n_rollouts=n_rollouts, seed=context.seed)
            objective = PPO(self.cliprange, self.cliprange_value, self.vf_coef, self.entropy_coef)
            report = self.fit(
                context,
                model,
                objective,
                steps,
                outputs=lambda batch: model(batch.forest, batch.scored, entropies=self.entropy_coef > 0),
                step_metrics=steps.metrics,
                shown=("objective/scores", "objective/kl"),
            )
        self.save(context, decoder, tokenizer)
        return {
            "steps": report.steps,
            "rollouts": n_rollouts,
            "tasks": len(tasks),
            "dropped": n_dropped,
        } | report.metrics

    def read(
        self, context: StageContext, decoder: "Decoder", tokenizer: "Tokenizer"
    ) -> "tuple[list[Task], list[Prompt], int]":
        """The tasks whose prompts leave room for an answer, these prompts, and how many tasks were dropped."""
        from burnish.datasets.examples import task_prompts

        limit = (tokenizer.context_length or decoder.config.max_positions) - self.max_new_tokens
        tasks = read_rewarded_tasks(context, self.tasks, self.rewards, columns=self.columns)
        prompts, report = task_prompts(tasks, tokenizer, max_length=limit)
        context.report(report)
        if not prompts:
            raise DataError(
                f"{self.tasks}: no prompt leaves room for an answer in the model's context; lower max_new_tokens "
                f"({self.max_new_tokens})"
            )
        dropped = {(file, line) for file, line, _ in report.dropped}
        return [task for task in tasks if (task.place.file, task.place.line) not in dropped], prompts, len(dropped)

    def make_critic(self, context: StageContext, decoder: "Decoder", tokenizer: "Tokenizer") -> "ScalarModel":
        """The critic that the stage asks for; one from a reward model trains as the policy does."""
        from burnish.nn import actor_critic

        if self.critic.model is None:
            return actor_critic.make_critic(decoder, self.critic.type)
        critic, its_tokenizer = context.load_reward_model(self.critic.model)
        if its_tokenizer.backend.get_vocab() != tokenizer.backend.get_vocab():
            raise RecipeError(
                f"{self.name or self.type_name()}.critic.model: '{self.critic.model}' has another vocabulary than the "
                "policy, whose tokens it has to read; train the reward model from the same base, or remove the key"
            )
        self.make_trainable(context, critic.decoder)
        return critic

    def rollout_config(self) -> "RolloutConfig":
        from burnish.generation.sampling import Sampling
        from burnish.training.rollouts import RolloutConfig

        return RolloutConfig(
            sampling=Sampling(temperature=self.temperature, max_new_tokens=self.max_new_tokens),
            prompts=self.training.batch_size * self.num_mini_batches,
            num_generations=self.num_generations,
            micro_batch_tokens=self.training.micro_batch_tokens,
        )
