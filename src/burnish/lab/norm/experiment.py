"""`burnish lab norm`: what each norm and each placement costs, lets through, and can be trained with."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from burnish.forest import Forest
from burnish.lab.experiment import Findings
from burnish.lab.norm.decoders import architecture, drawn
from burnish.lab.norm.experiments import BatchExperiment, DepthExperiment, KindExperiment, RateExperiment
from burnish.lab.norm.gradients import (
    GradientVariant,
    gradient_panels,
    gradient_tables,
    gradient_variants,
    measure_gradients,
)
from burnish.lab.norm.step_time import TimedStep, alone_table, step_table, time_alone, time_steps
from burnish.lab.norm.training import Trainer, Training, unigram_loss
from burnish.lab.notebook import Notebook, affordable, command_line
from burnish.lab.pretraining import Pretraining, seconds_per_step
from burnish.lab.report import Panel, Table
from burnish.lab.text import LabText, load_text
from burnish.nn.config import DecoderConfig
from burnish.runs.progress import Reporter

Part = tuple[list[Table], list[Panel]]
"""What a part of the experiment shows."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the experiment is.

    alone: widths of the norms timed, over `alone_tokens`; steps: whole steps timed.
    gradient_depths, gradient_seeds: of the gradients at initialisation, over `gradient_sequences`.
    pretraining: of all trainings, with the fewest steps; the minutes decide how many they become.
    depths, warmups, seeds: of the placements' trainings; rates: of the comparison of learning rates at `rate_depth`.
    kind_depth: of the comparison of all norms; batch_depth, batch_sizes: of BatchNorm's, in steps of the largest.
    """

    alone: Sequence[int]
    alone_tokens: int
    steps: Sequence[TimedStep]
    model: DecoderConfig
    gradient_depths: Sequence[int]
    gradient_seeds: int
    gradient_sequences: int
    pretraining: Pretraining
    depths: Sequence[int]
    warmups: Sequence[float]
    seeds: int
    rates: Sequence[float]
    rate_depth: int
    kind_depth: int
    batch_depth: int
    batch_sizes: Sequence[int]
    heldout_tokens: int


FULL = Scale(
    alone=(128, 512, 2048),
    alone_tokens=1024,
    steps=(
        TimedStep(d_model=128, n_layers=6, batch_size=8, sequence_length=64),
        TimedStep(d_model=512, n_layers=4, batch_size=8, sequence_length=128),
    ),
    model=architecture(d_model=64, head_dim=32),
    gradient_depths=(2, 6, 12, 24, 48),
    gradient_seeds=5,
    gradient_sequences=16,
    pretraining=Pretraining(
        steps=100, tokens_per_step=256, sequence_length=32, learning_rate=2e-3, warmup_fraction=0.5
    ),
    depths=(2, 6, 12, 24),
    warmups=(0.0, 0.5),
    seeds=3,
    rates=(5e-4, 1e-3, 2e-3, 4e-3),
    rate_depth=12,
    kind_depth=6,
    batch_depth=4,
    batch_sizes=(1, 2, 8, 32),
    heldout_tokens=16_384,
)
QUICK = replace(
    FULL,
    alone=(128,),
    alone_tokens=256,
    steps=(TimedStep(d_model=64, n_layers=2, batch_size=4, sequence_length=32),),
    gradient_depths=(2, 6, 12),
    gradient_seeds=2,
    pretraining=replace(FULL.pretraining, steps=20),
    depths=(2, 6),
    seeds=1,
    rates=(1e-3, 4e-3),
    rate_depth=2,
    kind_depth=2,
    batch_depth=2,
    batch_sizes=(1, 8),
    heldout_tokens=2048,
)

QUICK_MINUTES = 0.5

_TIMING_SHARE, _TRAINING_SHARE = 0.12, 0.7
"""Of the minutes; the rest is for gradients, evaluation and the start of each training."""
_MOST_STEPS = 2000
_PROBE_LAYERS = 6


@dataclass(frozen=True, kw_only=True)
class NormExperiment:
    """Measure and train."""

    name: ClassVar[str] = "norm"
    minutes: float
    seed: int
    scale: Scale
    text_file: Path | None = None

    @cached_property
    def text(self) -> LabText:
        return load_text(self.text_file)

    def settings(self) -> dict[str, Any]:
        return {
            "command": command_line(self.name, self.minutes, quick=self.scale is QUICK),
            "minutes": self.minutes,
            "scale": asdict(self.scale),
            "text": [self.text.source, self.text.identity],
        }

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        seconds = self.minutes * 60
        display.say("time of the norms", style="bold")
        parts = [_time(notebook, display, self.scale, seconds)]
        display.say("gradients at initialisation", style="bold")
        parts.append(_gradients(notebook, display, self.scale, self.text, self.seed))
        display.say("trainings", style="bold")
        parts.append(_trainings(notebook, display, self.scale, self.text, seconds, self.seed))
        return Findings([table for part in parts for table in part[0]], [panel for part in parts for panel in part[1]])


def _time(notebook: Notebook, display: Reporter, scale: Scale, seconds: float) -> Part:
    # A step has seven variants, each longer than a norm: three times the seconds give it enough turns.
    share = _TIMING_SHARE * seconds / (len(scale.alone) + 3 * len(scale.steps))

    def alone(width: int) -> dict[str, list[float]]:
        return notebook.piece(f"time-alone-{width}", lambda: time_alone(width, scale.alone_tokens, seconds=share))

    def step(timed: TimedStep) -> dict[str, list[float]]:
        config = replace(architecture(d_model=timed.d_model, head_dim=32), n_layers=timed.n_layers)
        return notebook.piece(
            f"time-step-{timed.d_model}-{timed.n_layers}-{timed.tokens}",
            lambda: time_steps(config, timed, seconds=3 * share),
        )

    norms, steps = {}, {}
    with display.bar("timings", len(scale.alone) + len(scale.steps), "sizes") as bar:
        for width in scale.alone:
            norms[width] = alone(width)
            bar.update(len(norms))
        for timed in scale.steps:
            steps[timed] = step(timed)
            bar.update(len(norms) + len(steps))
    return [alone_table(norms, scale.alone_tokens), step_table(steps)], []


def _gradients(notebook: Notebook, display: Reporter, scale: Scale, text: LabText, seed: int) -> Part:
    windows = text.windows(scale.pretraining.sequence_length)
    forest = Forest.from_segments((window.tolist(), -1) for window in windows[: scale.gradient_sequences])
    seeds = range(seed, seed + scale.gradient_seeds)
    variants = gradient_variants(scale.model)

    def measured(variant: GradientVariant, depth: int) -> list[list[float]]:
        name = f"gradients-{variant.name.replace(', ', '-').replace(' ', '-')}-{depth}"
        config = replace(variant.config, n_layers=depth)
        return notebook.piece(name, lambda: measure_gradients(config, forest, seeds))

    norms: dict[str, dict[int, list[list[float]]]] = {}
    with display.bar("gradients", len(variants), "variants") as bar:
        for done, variant in enumerate(variants, start=1):
            norms[variant.name] = {depth: measured(variant, depth) for depth in scale.gradient_depths}
            bar.update(done)
    shown = 24 if 24 in scale.gradient_depths else max(scale.gradient_depths)
    return gradient_tables(norms), gradient_panels(norms, shown)


def _trainings(notebook: Notebook, display: Reporter, scale: Scale, text: LabText, seconds: float, seed: int) -> Part:
    seeds = range(seed, seed + scale.seeds)
    few = seeds[:2]

    def experiments(settings: Pretraining) -> tuple[Any, ...]:
        at = {depth: replace(scale.model, n_layers=depth) for depth in (scale.rate_depth, scale.kind_depth)}
        largest = replace(settings, tokens_per_step=max(scale.batch_sizes) * settings.sequence_length)
        return (
            DepthExperiment(
                config=scale.model, settings=settings, depths=scale.depths, warmups=scale.warmups, seeds=seeds
            ),
            RateExperiment(config=at[scale.rate_depth], settings=settings, rates=scale.rates, seeds=few[:1]),
            KindExperiment(config=at[scale.kind_depth], settings=settings, seeds=few),
            BatchExperiment(
                config=replace(scale.model, n_layers=scale.batch_depth),
                settings=largest,
                sizes=scale.batch_sizes,
                seeds=few,
            ),
        )

    def unique(settings: Pretraining) -> list[Training]:
        # Experiments share trainings, which are done once.
        found = (training for experiment in experiments(settings) for training in experiment.trainings())
        return list({training.name: training for training in found}.values())

    def planned() -> int:
        probe = drawn(replace(scale.model, n_layers=_PROBE_LAYERS), seed=seed)
        unit = seconds_per_step(probe, text, scale.pretraining) / _PROBE_LAYERS
        work = sum(training.work for training in unique(scale.pretraining))
        return affordable(_TRAINING_SHARE * seconds, unit * work, least=scale.pretraining.steps, most=_MOST_STEPS)

    settings = replace(scale.pretraining, steps=notebook.piece("steps", planned))
    trainings = unique(settings)
    trainer = Trainer(text, notebook, scale.heldout_tokens, torch.device("cpu"))
    with display.bar(f"{settings.steps} steps each", len(trainings), "trainings") as bar:
        outcomes = trainer.run(trainings, bar)
    unigram = unigram_loss(text)
    depth, rate, kind, batch = experiments(settings)
    shown = scale.depths[1:3] or scale.depths
    return (
        [
            depth.table(outcomes, unigram),
            rate.table(outcomes, unigram),
            kind.table(outcomes, unigram),
            batch.table(outcomes),
        ],
        [*depth.panels(outcomes, unigram, shown), batch.panel(outcomes)],
    )
