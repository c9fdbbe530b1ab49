"""One training of `burnish lab norm`: what becomes of it, in training, in evaluation, or where it diverges."""

import copy
import math
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.lab.norm.decoders import drawn
from burnish.lab.notebook import Notebook
from burnish.lab.pretraining import Pretraining, fit, heldout_loss, losses
from burnish.lab.text import VOCAB_SIZE, LabText
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.runs.progress import Bar
from burnish.training.loop import Progress

LEARNED = 0.98
"""Of the loss of byte frequencies: what learns nothing from context creeps towards it and may end a hair below."""

_FULL = 256
"""Tokens below which a pass through a small layer takes no less time."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training: its settings carry the warm-up, the learning rate and the tokens of a micro-batch."""

    config: DecoderConfig
    settings: Pretraining
    seed: int

    @property
    def name(self) -> str:
        """Unique among the trainings of an experiment; the name of its files."""
        config, settings = self.config, self.settings
        parts = [
            config.norm,
            config.norm_placement,
            *([] if config.residual else ["no-residual"]),
            f"{config.n_layers}-layers",
            f"warmup-{settings.warmup_fraction:g}",
            f"rate-{settings.learning_rate:g}",
            f"step-{settings.tokens_per_step}",
            f"micro-{settings.micro_batch_tokens}",
            f"seed-{self.seed}",
        ]
        return "-".join(parts)

    @property
    def work(self) -> float:
        """How much longer a step takes than one of a single layer; passes of few tokens take as long as `_FULL`."""
        micro_batches = math.ceil(self.settings.tokens_per_step / self.settings.micro_batch_tokens)
        tokens = self.settings.tokens_per_step / micro_batches
        return self.config.n_layers * micro_batches * max(tokens, _FULL) / _FULL


@dataclass(frozen=True)
class TrainingOutcome:
    """What became of a training.

    losses: of every step that was done; heldout: in evaluation, None where the training met a loss or gradient that
    is not finite; heldout_by_batch: with the statistics of each batch of so many sequences instead of the running
    ones, None but for BatchNorm.
    """

    losses: Sequence[float]
    heldout: float | None
    heldout_by_batch: float | None = None

    @property
    def training_loss(self) -> float:
        """Mean over the last tenth of the steps."""
        return statistics.fmean(self.losses[-max(1, len(self.losses) // 10) :]) if self.losses else math.nan

    def diverged(self, unigram: float) -> bool:
        """Whether it stopped at a number that is not finite, or ends about where byte frequencies do or above."""
        return self.heldout is None or not self.heldout < LEARNED * unigram


def unigram_loss(text: LabText) -> float:
    """Held-out loss in nats of the byte frequencies of the training text, each count one higher."""
    counts = np.bincount(text.train, minlength=VOCAB_SIZE) + 1.0
    heldout = np.bincount(text.heldout, minlength=VOCAB_SIZE)
    return float(-(heldout / heldout.sum() * np.log(counts / counts.sum())).sum())


@dataclass
class Trainer:
    """Runs trainings, each once, and keeps what came of them in the notebook."""

    text: LabText
    notebook: Notebook
    heldout_tokens: int
    device: torch.device

    def run(self, trainings: Sequence[Training], bar: Bar) -> dict[str, TrainingOutcome]:
        """The outcome of each training by its name; the bar counts trainings."""
        outcomes: dict[str, TrainingOutcome] = {}
        for index, training in enumerate(trainings):

            def show(progress: Progress, done: int = index) -> None:
                bar.update(done, step=progress.step, loss=progress.metrics["loss"])

            outcomes[training.name] = TrainingOutcome(
                **self.notebook.piece(training.name, partial(self._train, training, show))
            )
            bar.update(index + 1)
        return outcomes

    def _train(self, training: Training, show: Callable[[Progress], None]) -> dict[str, Any]:
        decoder = drawn(training.config, seed=training.seed).to(self.device)
        folder = self.notebook.subfolder(training.name)
        heldout, by_batch = None, None
        try:
            done = fit(decoder, self.text, training.settings, seed=training.seed, folder=folder, on_progress=show)
        except BurnishError:
            # The loop leaves the gradients of the step that it could not do. Any other error is not a divergence.
            if all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in decoder.parameters()):
                raise
            done = losses(folder)
        else:
            length = training.settings.sequence_length
            heldout = heldout_loss(decoder, self.text, sequence_length=length, max_tokens=self.heldout_tokens)
            if training.config.norm == "batch":
                by_batch = self._loss_by_batch(decoder, training.settings)
        # The weights are of no use afterwards, and hundreds of trainings would fill the disk.
        shutil.rmtree(folder)
        return {"losses": done, "heldout": heldout, "heldout_by_batch": by_batch}

    def _loss_by_batch(self, decoder: Decoder, settings: Pretraining) -> float:
        """Held-out loss with the statistics of each batch, as large as a micro-batch of the training."""
        size = max(1, min(settings.micro_batch_tokens, settings.tokens_per_step) // settings.sequence_length)
        windows = self.text.windows(settings.sequence_length, heldout=True)
        count = min(len(windows), max(size, self.heldout_tokens // settings.sequence_length)) // size * size
        chosen = windows[np.linspace(0, len(windows) - 1, count).round().astype(int)].tolist()
        return batch_statistics_loss(decoder, [chosen[at : at + size] for at in range(0, count, size)])


@torch.no_grad()
def batch_statistics_loss(decoder: Decoder, batches: Sequence[Sequence[Sequence[int]]]) -> float:
    """Mean loss in nats a token with BatchNorm as in training: each batch by its own statistics. Changes nothing."""
    decoder = copy.deepcopy(decoder).train()
    total, tokens = 0.0, 0
    for batch in batches:
        forest = Forest.from_segments((sequence, -1) for sequence in batch).to(decoder.device)
        scored = (forest.predecessors >= 0).nonzero().squeeze(-1)
        total -= decoder.logps(forest, scored).double().sum().item()
        tokens += len(scored)
    return total / tokens
