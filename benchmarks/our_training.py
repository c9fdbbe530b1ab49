"""Our side of the rows that train: Burnish's own loop, each optimizer step timed as a whole."""

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import worker
from benchmarks.row import Config

if TYPE_CHECKING:
    from burnish.nn.decoder import Decoder
    from burnish.training.config import TrainingConfig
    from burnish.training.loop import Objective, Progress, StepsLike

LEARNING_RATE = 2e-5
BETAS = (0.9, 0.95)


def load(config: Config) -> "Decoder":
    """The model as `burnish run` has it: compute dtype measured, freed memory kept."""
    worker.use_processor(config["threads"], keep_freed_memory=True)
    import burnish

    decoder, _ = burnish.load(
        config["models"]["float32"], compute_dtype=config.get("compute_dtype", "auto"), device="cpu"
    )
    return decoder


def settings(config: Config) -> "TrainingConfig":
    """AdamW at a constant rate, no state saved meanwhile; everything else as a recipe has it by default."""
    from burnish.training.config import TrainingConfig

    return TrainingConfig(
        learning_rate=LEARNING_RATE,
        schedule="constant",
        warmup_fraction=0.0,
        betas=BETAS,
        batch_size=config["batch_size"],
        checkpoint_seconds=math.inf,
    )


def train(
    config: Config, decoder: "Decoder", objective: "Objective", steps: "StepsLike", training: "TrainingConfig"
) -> tuple[worker.Stopwatch, list[float]]:
    """Train; the watch ran from the end of the first step to that of the last. Also returns the loss of each step."""
    from burnish.training import loop

    watch = worker.Stopwatch()
    losses: list[float] = []

    def after_step(progress: "Progress") -> None:
        losses.append(progress.metrics["loss"])
        if progress.step == progress.n_steps:
            watch.stop()
        elif progress.step == 1:
            watch.start()

    watch.start()  # for a run of one step, which is a check and not timed
    with tempfile.TemporaryDirectory(dir=config["folder"]) as folder:
        loop.train(
            decoder,
            objective,
            steps,
            training,
            folder=Path(folder),
            seed=0,
            identity="benchmark",
            on_progress=after_step,
        )
    return watch, losses


def configuration(decoder: "Decoder", training: "TrainingConfig") -> Config:
    """What is recorded of our side's settings."""
    return {
        "compute_dtype": str(decoder.compute_dtype).removeprefix("torch."),
        "micro_batch_tokens": training.micro_batch_tokens,
    }
