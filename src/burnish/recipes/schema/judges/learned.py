"""Judges that were trained: reward models of answers and of steps, and what is implicit in a model of preferences."""

from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.schema.judges.base import JudgeBase
from burnish.recipes.schema.stage import ModelReference, ProcessRewardModelReference, RewardModelReference, StageContext
from burnish.rewards.judgement import Judge


class RewardModelJudge(JudgeBase):
    """The score that a reward model gives to prompt and completion."""

    type: Literal["reward_model"] = Field(description="kind of judge: reward_model")
    model: RewardModelReference = Field(description="@STAGE of a reward_model stage, or the folder of a reward model")
    probability: bool = Field(
        False, description="σ(score) instead of the score: of an outcome reward model, how probably an answer is right"
    )

    log_odds: ClassVar[bool] = True

    def asks(self) -> list[str]:
        return [self.model]

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.learned import by_reward_model

        return nullcontext(by_reward_model(*context.load_reward_model(self.model), probability=self.probability))


class ProcessRewardModelJudge(JudgeBase):
    """How probably each step of an answer is right; the score is what the steps come to together.

    In grpo and ppo each step's probability is the reward of the token that ends it.
    """

    type: Literal["process_reward_model"] = Field(description="kind of judge: process_reward_model")
    model: ProcessRewardModelReference = Field(
        description="@STAGE of a process_reward_model stage, or the folder of a process reward model"
    )
    aggregation: Literal["min", "product", "last", "mean"] = Field(
        "min", description="of the probabilities of an answer's steps, what its score is"
    )
    step_separator: str | None = Field(
        None, min_length=1, description="what answers are split into steps at; what the model was trained with if null"
    )
    per_step: bool = Field(
        True, description="reward tokens in grpo and ppo; false: an answer as a whole, also of another vocabulary"
    )

    def asks(self) -> list[str]:
        return [self.model]

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.process import by_process_reward_model

        model, tokenizer = context.load_process_reward_model(self.model)
        judge = by_process_reward_model(
            model,
            tokenizer,
            step_separator=self.step_separator,
            aggregation=self.aggregation,
            per_step=self.per_step,
        )
        return nullcontext(judge)


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

    def asks(self) -> list[str]:
        return [self.model, self.reference]

    def open(self, context: StageContext) -> AbstractContextManager[Judge]:
        from burnish.rewards.learned import by_implicit_reward

        (model, tokenizer), (reference, its_own) = context.load(self.model), context.load(self.reference)
        if its_own.vocab_size != tokenizer.vocab_size:
            raise DataError(
                f"{self.reference} has a vocabulary of {its_own.vocab_size} tokens, {self.model} one of "
                f"{tokenizer.vocab_size}; take the model that its training started from"
            )
        return nullcontext(by_implicit_reward(model, reference, tokenizer, beta=self.beta, per_token=self.per_token))
