"""ppo: proximal policy optimization (Schulman 2017, Ouyang 2022) against rewards of sampled answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import RecipeError
from burnish.methods.ppo_settings import PPOSettings
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.rollout_stage import RolloutStage
from burnish.recipes.schema.stage import Metrics, RewardModelReference, StageContext, StrictModel

if TYPE_CHECKING:
    from burnish.methods.rollouts import RolloutConfig
    from burnish.nn.decoder import Decoder
    from burnish.nn.scalar import ScalarModel
    from burnish.text.tokenizer import Tokenizer


class CriticConfig(StrictModel):
    """The critic, which says what is still to be earned after each token."""

    type: Literal["head", "network"] = Field(
        "head",
        description="head: on the policy's own hidden states; network: a model of its own, which starts as the policy",
    )
    model: RewardModelReference | None = Field(
        None, description="reward model that a network starts from: @STAGE or a folder; the policy if left out"
    )


class PpoStage(PPOSettings, RolloutStage):
    """Raises the reward of the answers that the model samples, at a price for leaving the model it started from.

    An optimizer step learns from the answers to `training.batch_size` prompts; a rollout has `num_mini_batches` times
    as many, and is learned from `num_ppo_epochs` times. `rollouts/` has all that was sampled, with the rewards.
    """

    type: Literal["ppo"] = Field("ppo", description="ppo")
    critic: CriticConfig = Field(CriticConfig.model_validate({}), description="the critic")
    num_generations: int = Field(1, ge=1, description="answers to each prompt of a rollout")
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

    def disk_bytes(self, n_parameters: int) -> int:
        """As every training, and once more the state of a critic that is a network of its own."""
        return super().disk_bytes(n_parameters) + (2 * 3 * 4 * n_parameters if self.critic.type == "network" else 0)

    @property
    def prompts_per_rollout(self) -> int:
        return self.training.batch_size * self.num_mini_batches

    def run(self, context: StageContext) -> Metrics:
        from burnish.methods.ppo import PPOSteps, rollout_columns
        from burnish.nn.actor_critic import ActorCritic, Reference
        from burnish.objectives.ppo import PPO

        decoder, tokenizer = context.load(self.model)
        tasks, prompts, n_dropped = self.read(context, decoder, tokenizer)
        self.make_trainable(context, decoder)
        reference = Reference(decoder)
        critic = self.make_critic(context, decoder, tokenizer)
        model = ActorCritic(decoder, critic, kl_coef=self.kl_coef, temperature=self.temperature)
        config, columns = self.rollout_config(), rollout_columns(model, reference)
        with self.sampling(context, decoder, tokenizer, tasks, prompts, config, columns) as sampled:
            rollouts, n_rollouts = sampled
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

    def passes(self) -> int:
        return self.num_ppo_epochs

    def rollout_config(self) -> "RolloutConfig":
        from burnish.generation.sampling import Sampling
        from burnish.methods.rollouts import RolloutConfig

        return RolloutConfig(
            sampling=Sampling(temperature=self.temperature, max_new_tokens=self.max_new_tokens),
            prompts=self.prompts_per_rollout,
            num_generations=self.num_generations,
            micro_batch_tokens=self.training.micro_batch_tokens,
        )
