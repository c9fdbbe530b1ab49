"""The trainings of `burnish lab norm`, by depth, learning rate, norm and batch, and their tables and plots.

All trainings of a seed see the same data in the same order, and start from weights drawn by the same rule.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from burnish.lab.norm.decoders import PLACEMENTS, kinds, placed
from burnish.lab.norm.training import LEARNED, Training, TrainingOutcome
from burnish.lab.pretraining import Pretraining, mean_and_deviation
from burnish.lab.report import Cell, Panel, Table
from burnish.nn.config import DecoderConfig, NormKind, Placement

_SMOOTHING = 9
"""Steps that a point of a loss curve is the mean of."""


@dataclass(frozen=True, kw_only=True)
class DepthExperiment:
    """Every placement of LayerNorm at every depth, with and without warm-up."""

    config: DecoderConfig
    settings: Pretraining
    depths: Sequence[int]
    warmups: Sequence[float]
    seeds: Sequence[int]

    def training(self, placement: Placement, depth: int, warmup: float, seed: int) -> Training:
        settings = replace(self.settings, warmup_fraction=warmup)
        return Training(config=placed(self.config, placement, depth), settings=settings, seed=seed)

    def trainings(self) -> list[Training]:
        return [
            self.training(placement, depth, warmup, seed)
            for seed, depth, warmup, placement in product(self.seeds, self.depths, self.warmups, PLACEMENTS)
        ]

    def table(self, outcomes: Mapping[str, TrainingOutcome], unigram: float) -> Table:
        rows: list[list[Cell]] = []
        for placement, warmup in product(PLACEMENTS, self.warmups):
            cells = [
                _cell([outcomes[self.training(placement, depth, warmup, seed).name] for seed in self.seeds], unigram)
                for depth in self.depths
            ]
            rows.append([placement, _warmup(warmup), *cells])
        return Table(
            "Held-out loss by placement, depth and warm-up",
            ["", "warm-up", *(f"L = {depth}" for depth in self.depths)],
            rows,
            f"Nats a byte, LayerNorm, mean ± deviation of {_seeds(self.seeds)}. {_described(self.settings)} "
            "Diverged, with the number of seeds: a loss or gradient that is not finite, or a held-out loss that is not "
            f"{1 - LEARNED:.0%} below the {unigram:.3f} of byte frequencies, where a few dozen steps may just not get.",
        )

    def panels(
        self, outcomes: Mapping[str, TrainingOutcome], unigram: float, shown_depths: Sequence[int]
    ) -> list[Panel]:
        def final(placement: Placement, depth: int, warmup: float) -> float:
            found = [outcomes[self.training(placement, depth, warmup, seed).name].heldout for seed in self.seeds]
            return statistics.fmean(math.nan if value is None else value for value in found)

        by_depth = [
            Panel(
                f"Held-out loss by depth, {_warmup(warmup)}",
                "layers",
                "nats a byte",
                {
                    placement: [(depth, final(placement, depth, warmup)) for depth in self.depths]
                    for placement in PLACEMENTS
                },
                log_x=True,
                references={"byte frequencies": unigram},
            )
            for warmup in self.warmups
        ]
        curves = [
            Panel(
                f"Training loss, {depth} layers, seed {self.seeds[0]}",
                "step",
                "nats a byte",
                {
                    f"{placement}, {_warmup(warmup)}": _smooth(
                        outcomes[self.training(placement, depth, warmup, self.seeds[0]).name].losses
                    )
                    for placement in ("pre", "post", "deepnorm")
                    for warmup in self.warmups
                },
                references={"byte frequencies": unigram},
            )
            for depth in shown_depths
        ]
        return by_depth + curves


@dataclass(frozen=True, kw_only=True)
class RateExperiment:
    """Whether what diverges does so at every learning rate: some placements at one depth, with warm-up."""

    config: DecoderConfig
    settings: Pretraining
    rates: Sequence[float]
    placements: Sequence[Placement] = ("pre", "post", "deepnorm")
    seeds: Sequence[int]

    def training(self, placement: Placement, rate: float, seed: int) -> Training:
        config = placed(self.config, placement, self.config.n_layers)
        return Training(config=config, settings=replace(self.settings, learning_rate=rate), seed=seed)

    def trainings(self) -> list[Training]:
        grid = product(self.seeds, self.rates, self.placements)
        return [self.training(placement, rate, seed) for seed, rate, placement in grid]

    def table(self, outcomes: Mapping[str, TrainingOutcome], unigram: float) -> Table:
        rows = [
            [
                placement,
                *(
                    _cell([outcomes[self.training(placement, rate, seed).name] for seed in self.seeds], unigram)
                    for rate in self.rates
                ),
            ]
            for placement in self.placements
        ]
        return Table(
            f"Held-out loss by learning rate, {self.config.n_layers} layers",
            ["", *(f"{rate:g}" for rate in self.rates)],
            rows,
            f"Nats a byte, {_seeds(self.seeds)}, {_warmup(self.settings.warmup_fraction)}, otherwise as above.",
        )


@dataclass(frozen=True, kw_only=True)
class KindExperiment:
    """Every norm in every placement, at one small depth, and LayerNorm without residual connections."""

    config: DecoderConfig
    settings: Pretraining
    seeds: Sequence[int]

    def of(self, config: DecoderConfig) -> list[Training]:
        return [Training(config=config, settings=self.settings, seed=seed) for seed in self.seeds]

    def trainings(self) -> list[Training]:
        return [
            training
            for by_placement in kinds(self.config).values()
            for config in by_placement.values()
            for training in self.of(config)
        ]

    def table(self, outcomes: Mapping[str, TrainingOutcome], unigram: float) -> Table:
        rows: list[list[Cell]] = []
        for name, by_placement in kinds(self.config).items():
            cells = {
                placement: _cell([outcomes[training.name] for training in self.of(config)], unigram)
                for placement, config in by_placement.items()
            }
            rows.append([name, *(cells.get(placement) for placement in PLACEMENTS)])
        return Table(
            f"Held-out loss by norm and placement, {self.config.n_layers} layers",
            ["", *PLACEMENTS],
            rows,
            f"Nats a byte, {_seeds(self.seeds)}, {_warmup(self.settings.warmup_fraction)}; BatchNorm by its running "
            f"statistics, over batches of {self.settings.tokens_per_step} tokens. Without a norm of activations all "
            "placements are one, but for the scales α and β of deepnorm.",
        )


@dataclass(frozen=True, kw_only=True)
class BatchExperiment:
    """BatchNorm by the sequences that its statistics are of, beside LayerNorm; the optimizer's step stays the same."""

    config: DecoderConfig
    settings: Pretraining
    sizes: Sequence[int]
    seeds: Sequence[int]

    def training(self, norm: NormKind, size: int, seed: int) -> Training:
        settings = replace(self.settings, micro_batch_tokens=size * self.settings.sequence_length)
        return Training(config=placed(self.config, "pre", self.config.n_layers, norm), settings=settings, seed=seed)

    def trainings(self) -> list[Training]:
        normed = [self.training("batch", size, seed) for seed, size in product(self.seeds, self.sizes)]
        return [*normed, *(self.training("layer", max(self.sizes), seed) for seed in self.seeds)]

    def means(self, outcomes: Mapping[str, TrainingOutcome], norm: NormKind, size: int) -> tuple[float, float, float]:
        """Training loss, held-out loss by the batch's statistics, and by the running ones; means of the seeds."""
        found = [outcomes[self.training(norm, size, seed).name] for seed in self.seeds]
        training = statistics.fmean(outcome.training_loss for outcome in found)
        running = statistics.fmean(math.nan if o.heldout is None else o.heldout for o in found)
        by_batch = statistics.fmean(math.nan if o.heldout_by_batch is None else o.heldout_by_batch for o in found)
        return training, by_batch, running

    def table(self, outcomes: Mapping[str, TrainingOutcome]) -> Table:
        rows: list[list[Cell]] = []
        for size in self.sizes:
            training, by_batch, running = self.means(outcomes, "batch", size)
            rows.append([f"BatchNorm, {size} sequences", training, by_batch, running, running - by_batch])
        training, _, running = self.means(outcomes, "layer", max(self.sizes))
        rows.append(["LayerNorm", training, None, running, None])
        return Table(
            f"BatchNorm by batch, {self.config.n_layers} layers, pre-norm",
            ["statistics of", "training", "held out, batch's statistics", "held out, running statistics", "gap"],
            rows,
            f"Nats a byte, {_seeds(self.seeds)}. {_described(self.settings)} Every step has the same sequences, "
            "split into micro-batches of so many; the statistics are of one micro-batch. Training is the mean of the "
            "last tenth of the steps. The batch's statistics look at later tokens: only the running ones give a "
            "language model's loss, and only they are there when it writes.",
        )

    def panel(self, outcomes: Mapping[str, TrainingOutcome]) -> Panel:
        columns = ("training", "held out, batch's statistics", "held out, running statistics")
        found = {size: self.means(outcomes, "batch", size) for size in self.sizes}
        return Panel(
            "BatchNorm by the sequences of its statistics",
            "sequences",
            "nats a byte",
            {name: [(size, found[size][index]) for size in self.sizes] for index, name in enumerate(columns)},
            log_x=True,
            references={"LayerNorm, held out": self.means(outcomes, "layer", max(self.sizes))[2]},
        )


def _cell(outcomes: Sequence[TrainingOutcome], unigram: float) -> str:
    """Mean and deviation of the finite held-out losses, and how many diverged."""
    finite = [outcome.heldout for outcome in outcomes if outcome.heldout is not None and math.isfinite(outcome.heldout)]
    text = "not finite"
    if finite:
        mean, deviation = mean_and_deviation(finite)
        text = f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"
    diverged = sum(outcome.diverged(unigram) for outcome in outcomes)
    return f"{text} (diverged {diverged}/{len(outcomes)})" if diverged else text


def _smooth(values: Sequence[float]) -> list[tuple[float, float]]:
    """Steps, counted from 1, and means over the last `_SMOOTHING` of them."""
    return [(step, statistics.fmean(values[max(0, step - _SMOOTHING) : step])) for step in range(1, len(values) + 1)]


def _warmup(fraction: float) -> str:
    return f"warm-up {fraction:.0%}" if fraction else "no warm-up"


def _seeds(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"


def _described(settings: Pretraining) -> str:
    return (
        f"{settings.steps:,} steps of {settings.tokens_per_step // settings.sequence_length} sequences of "
        f"{settings.sequence_length} bytes, AdamW at a peak learning rate of {settings.learning_rate:g}."
    )
