"""What the methods that train have in common: settings, rows held out, adapters, the loop with its progress, the model.

A method is given rows, settings and a `Run`, and leaves in the run's folder `model/`, a Hugging Face folder, with LoRA
also `adapter/`, a PEFT folder.

Nothing here imports PyTorch before something trains: recipes read the settings of every method.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from burnish.errors import BurnishError, DataError
from burnish.nn.config import DecoderConfig
from burnish.runs.names import ADAPTER_FOLDER, DATA_REPORT_FILE, MODEL_FOLDER
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from burnish.datasets.batches import Batch
    from burnish.datasets.report import Report
    from burnish.nn.decoder import Decoder
    from burnish.nn.lora import LoraConfig
    from burnish.objectives.objective import Objective
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress, StepsLike, TrainingReport

Metrics = dict[str, Any]
"""What a method measured, as values that JSON can hold."""
Row = TypeVar("Row")
Example = TypeVar("Example")
Outputs = TypeVar("Outputs")
Target = Literal["q", "k", "v", "o", "gate", "up", "down"]
ALL_TARGETS: list[Target] = ["q", "k", "v", "o", "gate", "up", "down"]
STOPPING = "stopping after this step, which is then saved; a second time stops at once and loses what was not saved"


class Strict(BaseModel):
    """Base of settings: no unknown keys, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class LoraSettings(Strict):
    """Trains low-rank adapters instead of all weights (Hu 2021, arXiv:2106.09685)."""

    rank: int = Field(16, ge=1, description="rank of the adapters")
    alpha: float = Field(32.0, gt=0, description="the adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    targets: list[Target] = Field(ALL_TARGETS, min_length=1, description="projections that get an adapter")

    def config(self) -> "LoraConfig":
        from burnish.nn.lora import LoraConfig

        return LoraConfig(rank=self.rank, alpha=self.alpha, dropout=self.dropout, targets=tuple(self.targets))


class TrainingSettings(Strict):
    """Settings of every method that changes weights."""

    training: TrainingConfig = Field(TrainingConfig.model_validate({}), description="optimizer, schedule, batch sizes")
    lora: LoraSettings | None = Field(None, description="train low-rank adapters instead of all weights")
    freeze_layers: int = Field(
        0, ge=0, description="first layers, with the embedding, that stay as they are: less time and memory"
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong: the key at fault, and why."""
        if self.lora is not None and self.freeze_layers:
            yield "freeze_layers", f"got {self.freeze_layers}; `lora` freezes all weights already: remove one"

    def misfit(self, model: DecoderConfig) -> str | None:
        """Why the settings do not fit a model of this shape, the key first; None where they do."""
        if self.lora is not None and (reason := own_format_reason(model)) is not None:
            return f"lora: got adapters, which PEFT keeps for the model families it knows, and {reason}: remove it"
        if self.freeze_layers < model.n_layers:
            return None
        return (
            f"freeze_layers: got {self.freeze_layers}; the model has {model.n_layers} layers and at least one must "
            f"train: expected at most {model.n_layers - 1}"
        )


class Bounded(Protocol):
    """Settings that say how long an example may be."""

    @property
    def max_length(self) -> int: ...


class Trains(Protocol):
    """Settings that say how to train."""

    @property
    def training(self) -> TrainingConfig: ...


class JudgedSettings(TrainingSettings):
    """Settings of the methods that learn from judged answers: pairs, ranked lists, single answers."""

    max_length: int = Field(2048, ge=2, description="longest prompt with its answer, in tokens")
    on_long: Literal["drop", "cut"] = Field("drop", description="what happens to longer rows")
    heldout: int = Field(0, ge=0, description="last rows of the data kept for measuring, before and after")

    def split(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """The rows to train on, and those held out. Raises DataError where none is left to train on."""
        if self.heldout >= len(rows):
            raise DataError(
                f"{source(rows)}: heldout is {self.heldout}, but there are only {len(rows)} rows: lower it or add rows"
            )
        return list(rows[: len(rows) - self.heldout]), list(rows[len(rows) - self.heldout :])


def source(rows: Sequence[Any]) -> str:
    """The file that rows come from; `memory` for those that come from none."""
    return str(rows[0].place.file) if rows else "no rows"


def begin(model: "Decoder", rows: Iterable[Any], settings: TrainingSettings, run: Run) -> Run:
    """Check the settings, and name the work where the caller has no name for it: by the model, the rows, the settings.

    Raises BurnishError naming settings that contradict each other or do not fit the model.
    """
    from burnish.methods.reference_logps import weights_digest
    from burnish.runs.hashes import digest

    for key, problem in settings.contradictions():
        raise BurnishError(f"{key}: {problem}")
    if (misfit := settings.misfit(model.config)) is not None:
        raise BurnishError(misfit)
    if run.key:
        return run
    return replace(run, key=digest([weights_digest(model), settings.model_dump(mode="json"), list(map(repr, rows))]))


def usable(
    encoded: "tuple[list[Example], Report]",
    rows: Sequence[Any],
    settings: "Bounded",
    run: Run,
    file: str = DATA_REPORT_FILE,
    *,
    least: int = 1,
) -> "tuple[list[Example], Report]":
    """Encoded rows as they came, once it is said and written down in `file` what became of each.

    Raises DataError where fewer than `least` are left.
    """
    examples, report = encoded
    run.report(report, file)
    if len(examples) < least:
        found = f"{len(examples)} usable of {len(rows)} rows, and {least} are needed" if examples else "no usable row"
        raise DataError(
            f"{source(rows)}: {found}; raise max_length ({settings.max_length}), add rows, or see why they were "
            f"dropped: {run.folder / file}"
        )
    return examples, report


def check_steps(n_examples: int, training: TrainingConfig, source: str) -> None:
    """Raise DataError where so many examples make no optimizer step: the model would leave as it came."""
    if round(training.epochs * n_examples) == 0:
        raise DataError(
            f"{source}: there would be 0 optimizer steps, and nothing learned: training.epochs {training.epochs:g} "
            f"of {n_examples} examples are {training.epochs * n_examples:.2g}, and a step takes up to "
            f"training.batch_size, {training.batch_size}; raise training.epochs, to 1 for all of them, or add data"
        )


def make_trainable(decoder: "Decoder", settings: TrainingSettings, run: Run) -> None:
    """Add the adapters or freeze the layers that the settings ask for."""
    from burnish.nn.lora import add_lora

    if settings.lora is not None:
        add_lora(decoder, settings.lora.config(), seed=run.seed)
    else:
        decoder.freeze_layers(settings.freeze_layers)


def fit(
    model: "nn.Module",
    objective: "Objective[Outputs]",
    steps: "StepsLike",
    settings: Trains,
    run: Run,
    *,
    outputs: "Callable[[Batch], Outputs] | None" = None,
    step_metrics: Callable[[int], Mapping[str, float]] = lambda _: {},
    shown: tuple[str, ...] = ("loss", "tokens_per_second"),
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> "TrainingReport":
    """Train in place, with a progress bar; an interrupted training goes on from its saved state.

    outputs, step_metrics, on_progress: as for `burnish.training.loop.train`. shown: metrics beside the progress bar.
    """
    from burnish.training.loop import train

    if len(steps) == 0:
        raise DataError(
            f"there are 0 optimizer steps to do, and nothing would be learned: training.epochs is "
            f"{settings.training.epochs:g}, and too little of the data could be used; raise it, or add data"
        )
    with run.display.bar(str(run.folder.name), len(steps), "steps") as bar:

        def show(progress: "Progress") -> None:
            bar.update(progress.step, **{key: progress.metrics[key] for key in shown if key in progress.metrics})
            on_progress(progress)

        return train(
            model,
            objective,
            steps,
            settings.training,
            folder=run.folder,
            seed=run.seed,
            identity=run.key,
            outputs=outputs,
            step_metrics=step_metrics,
            on_progress=show,
            on_notice=run.notice,
            on_stop=lambda: run.display.urgent(STOPPING),
        )


def save(
    decoder: "Decoder", tokenizer: "Tokenizer", settings: TrainingSettings, run: Run, *, base: Path | None = None
) -> Path:
    """Write `model/`, with LoRA also `adapter/`; the decoder has its adapters merged in afterwards.

    base: where the decoder was loaded from, which the adapter names; where its tokenizer was, if left out.
    """
    from burnish.checkpoints.peft import save_adapter
    from burnish.nn.lora import merge_lora

    if settings.lora is not None:
        source = Path(tokenizer.source)
        base = base or (source.parent if source.name == "tokenizer.json" else source)
        save_adapter(decoder, run.folder / ADAPTER_FOLDER, base=str(base.resolve()))
        merge_lora(decoder)
    return save_model(decoder, tokenizer, run)


def save_model(decoder: "Decoder", tokenizer: "Tokenizer", run: Run) -> Path:
    """Write `model/`, and say where it is a folder that no other program reads."""
    import burnish

    folder = run.folder / MODEL_FOLDER
    if folder.exists():
        shutil.rmtree(folder)
    burnish.save(decoder, tokenizer, folder)
    if (reason := own_format_reason(decoder.config)) is not None:
        run.display.say(f"  {folder} is a folder of Burnish's own, which no other program reads: {reason}", style="dim")
    return folder


def own_format_reason(model: DecoderConfig) -> str | None:
    """Why a model of this shape is saved in a folder of Burnish's own; None where a model family can hold it."""
    from burnish.checkpoints.families import no_family

    return no_family(model)


def objective_metrics(
    decoder: "Decoder", objective: "Objective[Tensor]", batches: "Sequence[Batch]"
) -> dict[str, float]:
    """The objective's mean loss and metrics over the batches, without training; nothing where there are none."""
    import torch

    from burnish.objectives.objective import measure

    decoder.eval()
    with torch.inference_mode():
        moved = (batch.to(decoder.device) for batch in batches)
        return measure(objective, ((batch, decoder.logps(batch.forest, batch.scored)) for batch in moved))


def comparison(before: Metrics, after: Metrics, n_rows: int) -> Metrics:
    """A method's metrics of what it held out; nothing where it held out nothing."""
    return {"heldout": {"rows": n_rows, "before": before, "after": after}} if n_rows else {}
