"""Models that are compared with each other, and what they are compared by."""

from collections.abc import Iterator

from pydantic import Field

from burnish.methods.compare import JUDGE, REWARD_MODEL
from burnish.recipes.language.places import KeyPath, did_you_mean
from burnish.recipes.schema.judges import ChatJudge, JudgeConfig, RewardModelJudge, judge_problems
from burnish.recipes.schema.stage import ModelReference, Name, RewardModelReference, StrictModel


class Rivals(StrictModel):
    """Keys of a stage that compares models."""

    models: dict[Name, ModelReference] = Field(
        min_length=1, description="label: model, for example {sft: '@sft', dpo: '@dpo'}; all with one tokenizer"
    )
    reference: ModelReference = Field(description="model that the divergence is measured from, for example @sft")
    baseline: Name | None = Field(None, description="label of the model to win against; the first if left out")
    reward_model: RewardModelReference | None = Field(
        None, description="reward model that scores answers and ranks held-out pairs: @STAGE or a folder"
    )
    rewards: list[JudgeConfig] = Field([], description="further rewards of the answers; see the page on judges")
    judge: ChatJudge | None = Field(None, description="judge model that compares answers with the baseline's")

    @property
    def all_rewards(self) -> list[JudgeConfig]:
        """All rewards, that of the reward model first."""
        if self.reward_model is None:
            return self.rewards
        of_model = RewardModelJudge.model_validate({"type": REWARD_MODEL, "model": self.reward_model})
        return [of_model, *self.rewards]

    def rival_problems(self) -> Iterator[tuple[KeyPath, str]]:
        """What is wrong with the labels and the rewards' names."""
        if self.baseline is not None and self.baseline not in self.models:
            hint = did_you_mean(self.baseline, self.models) or "."
            yield (
                ("baseline",),
                f"got '{self.baseline}'; not a label of `models`{hint} Expected one of: {', '.join(self.models)}",
            )
        taken = [JUDGE] + ([REWARD_MODEL] if self.reward_model is not None else [])
        yield from judge_problems(self.rewards, "rewards", taken=taken)
        if REWARD_MODEL in self.models:
            yield ("models", REWARD_MODEL), "is what the results call the reward model; choose another label"
