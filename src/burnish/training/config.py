"""Settings of a training run, the same for every objective."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainingConfig(BaseModel):
    """Optimizer, schedule, batch sizes, and what is looked at and kept on the way."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate of AdamW.")
    schedule: Literal["cosine", "linear", "constant", "wsd"] = Field(
        "cosine", description="Decay after the warm-up; wsd is constant and decays at the end."
    )
    warmup_fraction: float = Field(0.05, ge=0, lt=1, description="Share of the steps that warm up linearly.")
    min_lr_fraction: float = Field(0.0, ge=0, le=1, description="The decay ends at this share of the peak.")
    decay_fraction: float = Field(0.2, gt=0, le=1, description="Share of the steps in which wsd decays, linearly.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay, on matrices only.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.95), description="AdamW's decay rates of the two moments.")
    eps: float = Field(1e-8, gt=0, description="AdamW's epsilon.")
    max_grad_norm: float = Field(1.0, gt=0, description="The gradient is scaled down to this norm.")
    epochs: float = Field(1.0, gt=0, le=100_000, description="Passes over the data; fractions are allowed.")
    batch_size: int = Field(32, ge=1, description="Examples (documents, conversations, pairs) an optimizer step.")
    micro_batch_tokens: int = Field(
        2048, ge=1, description="Tokens in memory at once: a step is split into batches of about this size."
    )
    checkpoint_seconds: float = Field(120.0, ge=0, description="Seconds between two saves of the resumable state.")
    pull_to_start: float = Field(
        0.0, ge=0, description="Decoupled decay towards the weights at the start, times the learning rate (L2-SP)."
    )
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="Share of attention's weights set to zero.")
    residual_dropout: float = Field(0.0, ge=0, lt=1, description="The same of what each sublayer adds.")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="The same of the tokens' embeddings.")
    eval_steps: int | None = Field(
        None, ge=1, description="Measure the held-out loss after so many steps, and at the end."
    )
    patience: int | None = Field(
        None, ge=1, description="Stop once so many measurements in a row were not below the smallest."
    )
    keep_best: bool = Field(False, description="End with the weights of the smallest held-out loss, not the last.")
    snapshot_steps: int | None = Field(
        None, ge=1, description="Keep the model after so many steps, as `snapshots/STEP` of the stage."
    )

    @model_validator(mode="after")
    def _measured(self) -> Self:
        """What needs a held-out loss says so."""
        for key, value in (("patience", self.patience), ("keep_best", self.keep_best)):
            if value and self.eval_steps is None:
                raise ValueError(
                    f"{key} goes by the held-out loss, which nothing measures: set eval_steps, or remove it"
                )
        return self
