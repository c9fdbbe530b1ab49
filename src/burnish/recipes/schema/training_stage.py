"""What the stages that change weights have in common: where they start, how they train, what they leave.

The product is `model/`, a Hugging Face folder, and with LoRA also `adapter/`, a PEFT folder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from burnish.errors import RecipeError
from burnish.methods.settings import TrainingSettings
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import LatestModel, ReferenceKind, StageConfig, StageContext
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.checkpoints.facts import ModelShape
    from burnish.recipes.plan.work import Work


class TrainingStage(TrainingSettings, StageConfig):
    """Base of the stages that train a policy."""

    model: LatestModel = Field(
        None, description="model to train: base, @STAGE or a path; the latest trained one if left out"
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER}
    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        for key, problem in self.contradictions():
            yield (key,), problem

    def check_model(self, model: "ModelShape") -> None:
        if (misfit := self.misfit(model)) is not None:
            raise RecipeError(f"{self.name or self.type_name()}.{misfit}")

    def disk_bytes(self, n_parameters: int) -> int:
        """The model in float32, and the state twice while a new one replaces it: weights and two moments."""
        return n_parameters * 4 * (1 + 2 * 3)

    def kept_bytes(self, n_parameters: int) -> int:
        """The model in float32; adapters are small beside it."""
        return n_parameters * 4

    def training_work(
        self, context: StageContext, units: Sequence[Sequence[Sequence[int]]], *, passes_before: float = 0.0
    ) -> "Work":
        """The work of training on examples, given as their sequences; `passes_before` score each of them once more."""
        from burnish.datasets.batches import shuffled_steps
        from burnish.recipes.plan.work import Work, step_tokens

        steps = shuffled_steps(
            len(units), batch_size=self.training.batch_size, epochs=self.training.epochs, seed=context.seed
        )
        size = self.training.micro_batch_tokens
        once = step_tokens(units, [range(len(units))], size) if passes_before else 0
        layers, weights = self.trained_share(context)
        return Work(
            steps=len(steps),
            trained=step_tokens(units, steps, size),
            scored=round(once * passes_before),
            layers=layers,
            weights=weights,
            micro_batch=size,
        )

    def trained_share(self, context: StageContext) -> tuple[float, float]:
        """The shares of the layers that the backward pass goes through, and of the weights that change."""
        if self.lora is not None:
            return 1.0, 0.02  # a few low-rank columns
        n_layers = context.model_shape.n_layers if context.model_shape is not None else 0
        share = 1 - self.freeze_layers / n_layers if self.freeze_layers and n_layers else 1.0
        return share, share
