"""What fewer key and value heads cost: decoders trained alike from random weights, and converted ones trained on."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import torch

from burnish.lab.attention.speed import n_parameters, name_of
from burnish.lab.notebook import Notebook, affordable
from burnish.lab.pretraining import Pretraining, fit, heldout_loss, mean_and_deviation, seconds_per_step
from burnish.lab.report import Cell, Panel, Table
from burnish.lab.text import LabText
from burnish.nn.config import DecoderConfig
from burnish.nn.conversion import Pooling, with_kv_heads
from burnish.nn.decoder import Decoder
from burnish.runs.progress import Reporter
from burnish.training.loop import Progress

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


@dataclass(frozen=True)
class Bench:
    """What the trainings of an experiment share."""

    text: LabText
    notebook: Notebook
    display: Reporter
    device: torch.device
    dtype: torch.dtype
    heldout_tokens: int

    def loss(self, decoder: Decoder, settings: Pretraining) -> float:
        """Held-out loss in nats a token."""
        return heldout_loss(
            decoder, self.text, sequence_length=settings.sequence_length, max_tokens=self.heldout_tokens
        )

    def fit(self, decoder: Decoder, settings: Pretraining, name: str, *, seed: int, first: int = 0) -> None:
        """Train `decoder` in place, with a progress bar, in the notebook's folder `name`."""
        with self.display.bar(name, settings.steps, "steps") as bar:

            def show(progress: Progress) -> None:
                shown = {key: progress.metrics[key] for key in ("loss", "tokens_per_second")}
                bar.update(progress.step, **shown)

            folder = self.notebook.subfolder(name)
            fit(decoder, self.text, settings, seed=seed, folder=folder, first=first, on_progress=show)

    def planned_steps(self, decoder: Decoder, settings: Pretraining, *, seconds: float, name: str) -> int:
        """How many steps of this training fit into `seconds`; measured once, and kept. Trains `decoder` a little."""

        def plan() -> int:
            unit = seconds_per_step(decoder, self.text, settings)
            return affordable(seconds, unit, least=settings.steps, most=100_000)

        return self.notebook.piece(f"{name}-steps", plan)


def pretrained(bench: Bench, config: DecoderConfig, settings: Pretraining, seed: int) -> Decoder:
    """The decoder of this architecture and seed, trained now or before."""
    decoder = Decoder(config, compute_dtype=bench.dtype).to(bench.device)
    decoder.initialize(seed=seed)
    bench.fit(decoder, settings, f"training-{name_of(config)}-{seed}", seed=seed)
    return decoder


def train_alike(
    bench: Bench, configs: Sequence[DecoderConfig], settings: Pretraining, seeds: Sequence[int]
) -> dict[str, list[float]]:
    """Held-out loss of every architecture for each seed: same steps, same data in the same order."""

    def measured(config: DecoderConfig, seed: int) -> float:
        return bench.loss(pretrained(bench, config, settings, seed), settings)

    losses: dict[str, list[float]] = {name_of(config): [] for config in configs}
    for seed in seeds:
        for config in configs:
            name = name_of(config)
            losses[name].append(bench.notebook.piece(f"loss-{name}-{seed}", partial(measured, config, seed)))
    return losses


@dataclass(frozen=True)
class HeadConversion:
    """One way to fewer heads: held-out loss right after the conversion, and after up-training by share of tokens."""

    name: str
    pooling: str
    converted: float
    uptrained: Mapping[str, float]


@dataclass(frozen=True)
class Uptraining:
    """Conversions of one trained decoder, each trained on.

    settings: of the up-training; shares: its steps by label, each a training of its own from the converted weights.
    first: the step of the data's order it begins with, behind what the original was trained on.
    """

    bench: Bench
    original: Decoder
    settings: Pretraining
    shares: Mapping[str, int]
    seed: int
    first: int
    name: str

    def run(self, kv_heads: Sequence[int]) -> list[HeadConversion]:
        """Every pooling for each number of heads; before them the original itself, trained on alike: the control."""
        ways: list[tuple[int, Pooling | None]] = [(self.original.config.n_kv_heads, None)]
        ways += [(count, pooling) for count in kv_heads for pooling in POOLINGS]
        return [self._measured(count, pooling) for count, pooling in ways]

    def _measured(self, kv_heads: int, pooling: Pooling | None) -> HeadConversion:
        config = replace(self.original.config, n_kv_heads=kv_heads)
        label = f"{self.name}-{name_of(config)}-{pooling or 'control'}"
        piece = self.bench.notebook.piece
        converted = piece(
            f"{label}-converted", lambda: self.bench.loss(self._converted(kv_heads, pooling), self.settings)
        )
        uptrained = {
            share: piece(f"{label}-{steps}-steps", partial(self._uptrained, kv_heads, pooling, label, steps))
            for share, steps in self.shares.items()
        }
        return HeadConversion(name_of(config), pooling or "not converted", converted, uptrained)

    def _converted(self, kv_heads: int, pooling: Pooling | None) -> Decoder:
        return with_kv_heads(self.original, kv_heads, pooling=pooling or "mean", seed=self.seed)

    def _uptrained(self, kv_heads: int, pooling: Pooling | None, label: str, steps: int) -> float:
        decoder = self._converted(kv_heads, pooling)
        folder = f"up-training-{label}-{steps}"
        self.bench.fit(decoder, replace(self.settings, steps=steps), folder, seed=self.seed, first=self.first)
        loss = self.bench.loss(decoder, self.settings)
        # Only the loss is of use afterwards, and a checkpoint's weights would fill the disk.
        shutil.rmtree(self.bench.notebook.folder / folder)
        return loss


def quality_table(
    configs: Sequence[DecoderConfig], losses: Mapping[str, Sequence[float]], settings: Pretraining
) -> Table:
    """Held-out loss of decoders trained alike."""
    rows: list[list[Cell]] = []
    for config in configs:
        mean, deviation = mean_and_deviation(losses[name_of(config)])
        rows.append([name_of(config), config.n_kv_heads, n_parameters(config), mean, deviation, mean / math.log(2)])
    seeds = len(losses[name_of(configs[0])])
    return Table(
        "Quality after equal training",
        ["", "KV heads", "parameters", "held-out loss, nats a byte", "standard deviation", "bits a byte"],
        rows,
        f"{seeds} seed{'s' if seeds > 1 else ''}; {settings.steps:,} steps of {settings.tokens_per_step:,} bytes each, "
        "the same data in the same order. Fewer KV heads are also fewer parameters; nothing makes up for them here.",
    )


def conversion_table(
    title: str, original: float, conversions: Sequence[HeadConversion], *, unit: str, note: str
) -> Table:
    """Held-out loss before and after each conversion and after up-training."""
    shares = list(conversions[0].uptrained)
    return Table(
        title,
        ["", "heads become", f"before, nats a {unit}", "after conversion", *(f"after {share}" for share in shares)],
        [
            [way.name, way.pooling, original, way.converted, *(way.uptrained[share] for share in shares)]
            for way in conversions
        ],
        note,
    )


def conversion_panel(
    title: str, original: float, conversions: Sequence[HeadConversion], shares: Mapping[str, int], *, unit: str
) -> Panel:
    """Held-out loss over the steps of up-training, one curve for each way."""
    return Panel(
        title,
        "steps of up-training",
        f"held-out loss, nats a {unit}",
        {
            f"{way.name}, {way.pooling}": [(0, way.converted), *((shares[key], way.uptrained[key]) for key in shares)]
            for way in conversions
        },
        references={"before conversion": original},
    )
