"""What the stages that change weights have in common: where they start, how they train, what they leave.

The product is `model/`, a Hugging Face folder, and with LoRA also `adapter/`, a PEFT folder.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from pydantic import Field

from burnish.errors import DataError, RecipeError
from burnish.nn.config import DecoderConfig
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import LatestModel, ReferenceKind, StageConfig, StageContext, StrictModel
from burnish.runs.names import ADAPTER_FOLDER, MODEL_FOLDER
from burnish.training.config import TrainingConfig

if TYPE_CHECKING:
    from torch import nn

    from burnish.datasets.batches import Batch
    from burnish.nn.decoder import Decoder
    from burnish.nn.lora import LoraConfig
    from burnish.objectives.objective import Objective
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, StepsLike, TrainingReport

Outputs = TypeVar("Outputs")
STOPPING = "stopping after this step, which is then saved; a second time stops at once and loses what was not saved"
Target = Literal["q", "k", "v", "o", "gate", "up", "down"]
ALL_TARGETS: list[Target] = ["q", "k", "v", "o", "gate", "up", "down"]


class LoraSettings(StrictModel):
    """Trains low-rank adapters instead of all weights (Hu 2021, arXiv:2106.09685)."""

    rank: int = Field(16, ge=1, description="rank of the adapters")
    alpha: float = Field(32.0, gt=0, description="the adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    targets: list[Target] = Field(ALL_TARGETS, min_length=1, description="projections that get an adapter")

    def config(self) -> "LoraConfig":
        from burnish.nn.lora import LoraConfig

        return LoraConfig(rank=self.rank, alpha=self.alpha, dropout=self.dropout, targets=tuple(self.targets))


class TrainingStage(StageConfig):
    """Base of the stages that train a policy."""

    model: LatestModel = Field(
        None, description="model to train: base, @STAGE or a path; the latest trained one if left out"
    )
    training: TrainingConfig = Field(TrainingConfig.model_validate({}), description="optimizer, schedule, batch sizes")
    lora: LoraSettings | None = Field(None, description="train low-rank adapters instead of all weights")
    freeze_layers: int = Field(
        0, ge=0, description="first layers, with the embedding, that stay as they are: less time and memory"
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER}
    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        if self.lora is not None and self.freeze_layers:
            yield (
                ("freeze_layers",),
                f"got {self.freeze_layers}; `lora` freezes all weights already: remove one",
            )

    def check_model(self, model: DecoderConfig) -> None:
        if self.freeze_layers >= model.n_layers:
            raise RecipeError(
                f"{self.name or self.type_name()}.freeze_layers: got {self.freeze_layers}; the model has "
                f"{model.n_layers} layers and at least one must train: expected at most {model.n_layers - 1}"
            )

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

    def make_trainable(self, context: StageContext, decoder: "Decoder") -> None:
        """Add the adapters or freeze the layers that the stage asks for."""
        from burnish.nn.lora import add_lora

        if self.lora is not None:
            add_lora(decoder, self.lora.config(), seed=context.seed)
        else:
            self.check_model(decoder.config)
            decoder.freeze_layers(self.freeze_layers)

    def check_steps(self, n_examples: int, source: str) -> None:
        """Raise DataError where so many examples make no optimizer step: the model would leave as it came."""
        settings = self.training
        if round(settings.epochs * n_examples) == 0:
            raise DataError(
                f"{source}: there would be 0 optimizer steps, and nothing learned: training.epochs {settings.epochs:g} "
                f"of {n_examples} examples are {settings.epochs * n_examples:.2g}, and a step takes up to "
                f"training.batch_size, {settings.batch_size}; raise training.epochs, to 1 for all of them, or add data"
            )

    def fit(
        self,
        context: StageContext,
        model: "nn.Module",
        objective: "Objective[Outputs]",
        steps: "StepsLike",
        *,
        outputs: "Callable[[Batch], Outputs] | None" = None,
        step_metrics: Callable[[int], Mapping[str, float]] = lambda _: {},
        shown: tuple[str, ...] = ("loss", "tokens_per_second"),
    ) -> "TrainingReport":
        """Train in place, with a progress bar; an interrupted training goes on from its saved state.

        outputs, step_metrics: as for `burnish.training.loop.train`. shown: metrics beside the progress bar.
        """
        from burnish.training.loop import train

        if len(steps) == 0:
            raise DataError(
                f"there are 0 optimizer steps to do, and nothing would be learned: training.epochs is "
                f"{self.training.epochs:g}, and too little of the data could be used; raise it, or add data"
            )
        with context.display.bar(str(context.folder.name), len(steps), "steps") as bar:

            def show(progress: "Progress") -> None:
                bar.update(progress.step, **{key: progress.metrics[key] for key in shown if key in progress.metrics})

            return train(
                model,
                objective,
                steps,
                self.training,
                folder=context.folder,
                seed=context.seed,
                identity=context.key,
                outputs=outputs,
                step_metrics=step_metrics,
                on_progress=show,
                on_notice=context.notice,
                on_stop=lambda: context.display.urgent(STOPPING),
            )

    def save(self, context: StageContext, decoder: "Decoder", tokenizer: "Tokenizer") -> Path:
        """Write `model/`, with LoRA also `adapter/`; the decoder has its adapters merged in afterwards."""
        import burnish
        from burnish.checkpoints.peft import save_adapter
        from burnish.nn.lora import merge_lora

        if self.lora is not None:
            save_adapter(decoder, context.folder / ADAPTER_FOLDER, base=str(context.path(self.model).resolve()))
            merge_lora(decoder)
        folder = context.folder / MODEL_FOLDER
        if folder.exists():
            shutil.rmtree(folder)
        burnish.save(decoder, tokenizer, folder)
        return folder
