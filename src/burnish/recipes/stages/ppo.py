"""ppo: proximal policy optimization (Schulman 2017, Ouyang 2022) against rewards of sampled answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import RecipeError
from burnish.methods import ppo
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.eval_tasks import EvalTasksStage
from burnish.recipes.schema.stage import Metrics, RewardModelReference, StageContext, StrictModel

if TYPE_CHECKING:
    from burnish.text.tokenizer import Tokenizer


class CriticConfig(ppo.CriticSettings, StrictModel):
    """The critic, which says what is still to be earned after each token."""

    model: RewardModelReference | None = Field(
        None, description="reward model that a network starts from: @STAGE or a folder; the policy if left out"
    )


class PpoStage(ppo.Settings, EvalTasksStage):
    """Raises the reward of the answers that the model samples, at a price for leaving the model it started from.

    An optimizer step learns from the answers to `training.batch_size` prompts; a rollout has `num_mini_batches` times
    as many, and is learned from `num_ppo_epochs` times. `rollouts/` has all that was sampled, with the rewards.
    With `eval_tasks` the policy is measured on held-out tasks before, every `training.eval_steps` and at the end.
    """

    type: Literal["ppo"] = Field("ppo", description="ppo")
    critic: CriticConfig = Field(CriticConfig.model_validate({}), description="the critic")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.critic.model is not None and self.critic.type == "head":
            yield (
                ("critic", "model"),
                f"got '{self.critic.model}'; a head has no model of its own to start: set type: network, or remove it",
            )

    @property
    def scorings(self) -> int:
        return super().scorings + self.networks - 1

    @property
    def networks(self) -> int:
        return 2 if self.critic.type == "network" else 1

    def held_beside(self, share: float) -> float:
        # A critic that comes from elsewhere shares nothing with the policy.
        return super().held_beside(share) + (1 - share if self.critic.model is not None else 0.0)

    def disk_bytes(self, n_parameters: int, steps: int = 0) -> int:
        """As every training, and once more the state of a critic that is a network of its own."""
        return super().disk_bytes(n_parameters, steps) + (
            2 * 3 * 4 * n_parameters if self.critic.type == "network" else 0
        )

    def run(self, context: StageContext) -> Metrics:
        decoder, tokenizer = context.load(self.model)
        critic = None
        if self.critic.model is not None:
            critic, its_tokenizer = context.load_reward_model(self.critic.model)
            self.check_vocabulary(tokenizer, its_tokenizer)
        tasks, base = self.read_tasks(context), context.path(self.model)
        with self.open_judges(context) as (rewards, heldout):
            return ppo.train(
                decoder, tokenizer, tasks, rewards, self, context, heldout=heldout, base=base, critic=critic
            )

    def check_vocabulary(self, tokenizer: "Tokenizer", critics: "Tokenizer") -> None:
        """Raise RecipeError where the critic would read other tokens than the policy writes."""
        if critics.backend.get_vocab() != tokenizer.backend.get_vocab():
            raise RecipeError(
                f"{self.name or self.type_name()}.critic.model: '{self.critic.model}' has another vocabulary than the "
                "policy, whose tokens it has to read; train the reward model from the same base, or remove the key"
            )
