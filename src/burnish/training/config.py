"""Settings of a training run, the same for every objective."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainingConfig(BaseModel):
    """Optimizer, schedule and batch sizes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate of AdamW.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Decay after the warm-up.")
    warmup_fraction: float = Field(0.05, ge=0, lt=1, description="Share of the steps that warm up linearly.")
    min_lr_fraction: float = Field(0.0, ge=0, le=1, description="The decay ends at this share of the peak.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay, on matrices only.")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's decay rates of the two moments.")
    eps: float = Field(1e-8, gt=0, description="AdamW's epsilon.")
    max_grad_norm: float = Field(1.0, gt=0, description="The gradient is scaled down to this norm.")
    epochs: float = Field(1.0, gt=0, le=100_000, description="Passes over the data; fractions are allowed.")
    batch_size: int = Field(32, ge=1, description="Examples (documents, conversations, pairs) an optimizer step.")
    micro_batch_tokens: int = Field(
        2048, ge=1, description="Tokens in memory at once: a step is split into batches of about this size."
    )
    checkpoint_seconds: float = Field(120.0, ge=0, description="Seconds between two saves of the resumable state.")
