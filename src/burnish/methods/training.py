"""What the methods that train share: checks, adapters and frozen layers, and the loop with its progress.

A method is given rows, settings and a `Run`, and leaves in the run's folder `model/`, a Hugging Face folder, with LoRA
also `adapter/`, a PEFT folder.

Nothing here imports PyTorch before something trains.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from burnish.errors import BurnishError, DataError
from burnish.methods.settings import Bounded, TrainingSettings, Trains, source
from burnish.runs.names import DATA_REPORT_FILE
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig

if TYPE_CHECKING:
    from torch import nn

    from burnish.datasets.batches import Batch
    from burnish.datasets.report import Report
    from burnish.nn.decoder import Decoder
    from burnish.objectives.objective import Objective
    from burnish.training.loop import Progress, StepsLike, TrainingReport

Example = TypeVar("Example")
Outputs = TypeVar("Outputs")
STOPPING = "stopping after this step, which is then saved; a second time stops at once and loses what was not saved"


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
    settings: Bounded,
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


@dataclass(frozen=True)
class OnTheWay:
    """What a training looks at and keeps before it ends, where its settings ask for it.

    evaluate: what the model as it is says of held-out data, `loss` at least; None where nothing is held out.
    snapshot: writes the model as it is into a folder.
    """

    evaluate: Callable[[], Mapping[str, Any]] | None = None
    snapshot: Callable[[Path], None] | None = None


NOTHING = OnTheWay()


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
    on_the_way: OnTheWay = NOTHING,
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
            evaluate=on_the_way.evaluate,
            snapshot=on_the_way.snapshot,
            on_progress=show,
            on_notice=run.notice,
            on_stop=lambda: run.display.urgent(STOPPING),
        )
