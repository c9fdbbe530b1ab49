"""Our side of the rows that train: the methods of Burnish, each optimizer step timed as a whole."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks import worker
from benchmarks.row import Config

if TYPE_CHECKING:
    from torch import nn

    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.config import TrainingConfig
    from burnish.training.loop import Progress

LEARNING_RATE = 2e-5
BETAS = (0.9, 0.95)
NEVER = 1e9
"""Seconds, which no row takes; a configuration holds finite numbers only."""
_SEED = 0
T = TypeVar("T")


def warm_up_steps(config: Config) -> int:
    """Steps before the clock starts. Most of a process' memory is new to it in the first, and some in the second."""
    return int(config.get("warm_up_steps", 1))


def n_steps(config: Config) -> int:
    """Those and the timed ones."""
    return warm_up_steps(config) + int(config["timed_steps"])


def load(config: Config) -> "tuple[Decoder, Tokenizer]":
    """The model as `burnish run` has it: compute dtype measured, freed memory kept."""
    worker.use_processor(config["threads"], keep_freed_memory=True)
    import burnish

    return burnish.load(config["models"]["float32"], compute_dtype=config.get("compute_dtype", "auto"), device="cpu")


def settings(config: Config, *, batch_size: int | None = None, max_grad_norm: float = 1.0) -> "TrainingConfig":
    """AdamW at a constant rate, no state saved meanwhile; everything else as a recipe has it by default."""
    from burnish.training.config import TrainingConfig

    return TrainingConfig(
        learning_rate=LEARNING_RATE,
        schedule="constant",
        warmup_fraction=0.0,
        betas=BETAS,
        batch_size=batch_size or config["batch_size"],
        max_grad_norm=max_grad_norm,
        checkpoint_seconds=NEVER,
    )


def in_order(items: Sequence[T]) -> list[T]:
    """The items, so placed that the first pass of a training with the seed 0 takes them in the given order."""
    import numpy as np

    order = np.random.default_rng([_SEED, 0]).permutation(len(items))
    placed = dict(zip(order.tolist(), items, strict=True))
    return [placed[place] for place in range(len(items))]


def train(
    config: Config,
    model: "nn.Module",
    learn: Callable[..., object],
    *given: object,
    updates: int = 1,
    **options: object,
) -> tuple[worker.Stopwatch, list[dict[str, float]]]:
    """Call `learn(*given, run, on_progress=..., **options)`, a method of `burnish.methods` that trains `model`.

    The watch ran from the end of the warm-up to that of the last step. Also returns each update's metrics.
    updates: of the loop in each step of the row. With the path of a file as `profile` in the configuration, what the
    watch measures is recorded operation by operation and summed up there (`benchmarks.profile`).
    """
    from benchmarks.profile_steps import Recorder, marked_generation
    from burnish.runs.run import Run

    watch = worker.Stopwatch()
    history: list[dict[str, float]] = []
    recorder = Recorder(model) if "profile" in config else None

    def after_step(progress: "Progress") -> None:
        history.append(progress.metrics)
        if progress.step == progress.n_steps:
            watch.stop()
            if recorder is not None:
                Path(config["profile"]).write_text(json.dumps(recorder.stop(watch.seconds)), encoding="utf-8")
        elif progress.step == warm_up_steps(config) * updates:
            if recorder is not None:
                recorder.start()
            watch.start()

    watch.start()  # for a run of one step, which is a check and not timed
    with tempfile.TemporaryDirectory(dir=config["folder"]) as folder, marked_generation():
        learn(*given, Run(Path(folder), _SEED), on_progress=after_step, **options)
    return watch, history


def configuration(decoder: "Decoder", training: "TrainingConfig") -> Config:
    """What is recorded of our side's settings."""
    return {
        "compute_dtype": str(decoder.compute_dtype).removeprefix("torch."),
        "micro_batch_tokens": training.micro_batch_tokens,
    }
