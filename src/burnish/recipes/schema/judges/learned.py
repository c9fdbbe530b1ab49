"""Judges that were trained: a reward model, and the reward that is implicit in a model of preferences."""

from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.stage import ModelReference, RewardModelReference, StageContext
from burnish.rewards.judgement import Judge


class RewardModelJudge(JudgeBase):
    """The score that a reward model gives to prompt and completion."""

    type: Literal["reward_model"] = Field(description="kind of judge: reward_model")
    model: RewardModelReference = Field(description="@STAGE of a reward_model stage, or the folder of a reward model")

    log_odds: ClassVar[bool] = True

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.learned import by_reward_model

        return nullcontext(by_reward_model(*context.load_reward_model(self.model)))


class ImplicitRewardJudge(JudgeBase):
    """The implicit reward of a model that preferences have trained: beta log π/π_ref of prompt and completion."""

    type: Literal["implicit_reward"] = Field(description="kind of judge: implicit_reward")
    model: ModelReference = Field(description="the model that learned from preferences, for example @dpo")
    reference: ModelReference = Field(description="the model that its training started from, for example @sft")
    beta: float = Field(0.1, gt=0, description="what the ratio is multiplied by: the beta of its training")
    per_token: bool = Field(
        False, description="each token scores its part of it, which PPO and GRPO then learn from at the tokens"
    )

    log_odds: ClassVar[bool] = True

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.learned import by_implicit_reward

        (model, tokenizer), (reference, its_own) = context.load(self.model), context.load(self.reference)
        if its_own.vocab_size != tokenizer.vocab_size:
            raise DataError(
                f"{self.reference} has a vocabulary of {its_own.vocab_size} tokens, {self.model} one of "
                f"{tokenizer.vocab_size}; take the model that its training started from"
            )
        return nullcontext(by_implicit_reward(model, reference, tokenizer, beta=self.beta, per_token=self.per_token))
