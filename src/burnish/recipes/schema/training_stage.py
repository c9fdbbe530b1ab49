"""What the stages that change weights have in common: where they start, how they train, what they leave.

The product is `model/`, a Hugging Face folder, and with LoRA also `adapter/`, a PEFT folder.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from burnish.errors import RecipeError
from burnish.methods.settings import TrainingSettings
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import DATA_KINDS, LatestModel, ReferenceKind, StageConfig, StageContext
from burnish.runs.names import MODEL_FOLDER
from burnish.training.config import TrainingConfig
from burnish.training.names import SNAPSHOTS_FOLDER

if TYPE_CHECKING:
    from burnish.checkpoints.facts import ModelShape
    from burnish.recipes.plan.work import Work


def measurements(training: TrainingConfig, steps: int) -> int:
    """How often what is held out is measured: before, on the way, which the last step is as well, and afterwards."""
    return 2 + (math.ceil(steps / training.eval_steps) if training.eval_steps is not None else 0)


def while_training(training: TrainingConfig, steps: int) -> int:
    """Bytes on the disk for each parameter: what stays, and what a new file replaces, twice.

    That is the state, of weights and two moments, and the best weights where they are kept.
    """
    return after_training(training, steps) + 4 * 2 * (3 + training.keep_best)


def after_training(training: TrainingConfig, steps: int) -> int:
    """Bytes on the disk for each parameter: the model and its snapshots, in float32."""
    return 4 * (1 + (steps // training.snapshot_steps if training.snapshot_steps else 0))


def why_no_snapshot(training: TrainingConfig, inner: str) -> str | None:
    """Why a training leaves no snapshot `inner`, a path in its folder; None where it may, and where it is none."""
    folder, _, within = inner.partition("/")
    if folder != SNAPSHOTS_FOLDER:
        return None
    if training.snapshot_steps is None:
        return "it keeps no snapshots: set its training.snapshot_steps"
    step = within.partition("/")[0]
    if step.isdecimal() and int(step) and int(step) % training.snapshot_steps == 0:
        return None
    every = training.snapshot_steps
    return f"it keeps snapshots of steps {every}, {2 * every}, ...: expected one of these"


class LeavesModels(StageConfig):
    """Base of the stages that train a model: what that has on the disk meanwhile and afterwards."""

    if TYPE_CHECKING:

        @property
        def training(self) -> TrainingConfig: ...

    resumable: ClassVar[bool] = True
    checked: ClassVar[tuple[ReferenceKind, ...]] = (*DATA_KINDS, "corpus")

    def why_without(self, inner: str) -> str | None:
        return why_no_snapshot(self.training, inner)

    def disk_bytes(self, n_parameters: int, steps: int = 0) -> int:
        return n_parameters * while_training(self.training, steps)

    def kept_bytes(self, n_parameters: int, steps: int = 0) -> int:
        """The models in float32; adapters are small beside them."""
        return n_parameters * after_training(self.training, steps)


class TrainingStage(TrainingSettings, LeavesModels):
    """Base of the stages that train a policy."""

    model: LatestModel = Field(
        None, description="model to train: base, @STAGE or a path; the latest trained one if left out"
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        for key, problem in self.contradictions():
            yield tuple(key.split(".")), problem

    def check_model(self, model: "ModelShape") -> None:
        if (misfit := self.misfit(model)) is not None:
            raise RecipeError(f"{self.name or self.type_name()}.{misfit}")

    def training_work(
        self,
        context: StageContext,
        units: Sequence[Sequence[Sequence[int]]],
        *,
        passes_before: float = 0.0,
        groups: Sequence[Hashable] | None = None,
    ) -> "Work":
        """The work of training on examples, given as their sequences; `passes_before` score each of them once more.

        groups: that of each example, where steps keep groups together.
        """
        from burnish.datasets.batches import grouped_steps
        from burnish.recipes.plan.work import Work, step_tokens

        steps = grouped_steps(
            range(len(units)) if groups is None else groups,
            batch_size=self.training.batch_size,
            epochs=self.training.epochs,
            seed=context.seed,
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
            copies=float(self.training.pull_to_start > 0),
        )

    def trained_share(self, context: StageContext) -> tuple[float, float]:
        """The shares of the layers that the backward pass goes through, and of the weights that change."""
        if self.lora is not None:
            return 1.0, 0.02  # a few low-rank columns
        n_layers = context.model_shape.n_layers if context.model_shape is not None else 0
        share = 1 - self.freeze_layers / n_layers if self.freeze_layers and n_layers else 1.0
        return share, share
