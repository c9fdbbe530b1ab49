"""Settings of PPO's updates; apart from these, so that a recipe is checked without importing PyTorch."""

from typing import Literal

from pydantic import BaseModel, Field


class PPOSettings(BaseModel):
    """What the scores of a rollout become, and how often it is learned from; names are TRL's."""

    num_ppo_epochs: int = Field(4, ge=1, description="passes over each rollout")
    num_mini_batches: int = Field(1, ge=1, description="optimizer steps of each pass")
    gamma: float = Field(1.0, ge=0, le=1, description="γ, what a reward one token later counts")
    lam: float = Field(0.95, ge=0, le=1, description="λ of the advantages: 1 trusts rewards, 0 the critic")
    kl_coef: float = Field(0.05, ge=0, description="β, the price of a nat of departure from the reference")
    kl_estimator: Literal["k1", "k2", "k3"] = Field("k1", description="how a token's departure is estimated")
    target_kl: float | None = Field(
        None, gt=0, description="nats an answer that β adapts to (Ziegler 2019); β stays if left out"
    )
    kl_gain: float = Field(0.1, gt=0, le=1, description="how fast β adapts: by up to a fifth of this each rollout")
    missing_eos_penalty: float | None = Field(None, gt=0, description="taken off the score of a cut answer")
    score_clip: float | None = Field(None, gt=0, description="scores beyond ± this count as this")
    use_score_scaling: bool = Field(False, description="divide scores by the deviation of all so far")
    use_score_norm: bool = Field(False, description="with use_score_scaling: take off their mean too")
    whiten_rewards: bool = Field(False, description="scale a rollout's rewards to deviation 1")
    whiten_advantages: bool = Field(True, description="shift and scale a rollout's advantages to mean 0, deviation 1")
