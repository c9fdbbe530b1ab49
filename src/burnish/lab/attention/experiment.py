"""`burnish lab attention`: multi-head, grouped-query and multi-query attention, each in time, memory and quality."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import burnish
from burnish.errors import BurnishError
from burnish.hardware import choose_compute_dtype, choose_device
from burnish.lab.attention.cross import measure_writing
from burnish.lab.attention.quality import (
    POOLINGS,
    Bench,
    Uptraining,
    conversion_panel,
    conversion_table,
    pretrained,
    quality_table,
    train_alike,
)
from burnish.lab.attention.speed import Grid, measure_speeds, name_of, variants
from burnish.lab.checkpoint import installed_checkpoint as installed_checkpoint
from burnish.lab.checkpoint import tokenized
from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook, command_line
from burnish.lab.pretraining import Pretraining
from burnish.lab.report import Panel, Table
from burnish.lab.text import VOCAB_SIZE, LabText, load_text
from burnish.nn.config import DecoderConfig
from burnish.nn.conversion import with_kv_heads
from burnish.nn.decoder import Decoder
from burnish.runs.progress import Reporter

Part = tuple[list[Table], list[Panel]]
"""What a part of the experiment shows."""

PUBLISHED = Table(
    "Published: T5-XXL, Ainslie 2023 (arXiv:2305.13245), table 1",
    ["", "seconds a sample", "average score"],
    [["MHA", 1.51, 47.2], ["MQA", 0.24, 46.6], ["GQA-8", 0.28, 47.1]],
    "GQA-8 and MQA are converted by mean pooling and up-trained on 5 % of the original tokens. Time is that of "
    "inference, a sample a TPUv4 chip; the score is the mean over summarization, translation and question answering.",
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the experiment is.

    grid: (batch, context) of the timings, `decode_steps` tokens each; cross_grid: (batch, source) of those of an
        encoder-decoder.
    timed, trained: the architectures with as many key and value heads as query heads.
    pretraining, checkpoint_uptraining: with the fewest steps; the minutes decide how many they become.
    fractions: of the pre-training's steps, that up-training takes, at `uptraining_rate` of its learning rate.
    """

    timed: DecoderConfig
    kv_heads: Sequence[int]
    grid: Grid
    cross_grid: Grid
    decode_steps: int
    trained: DecoderConfig
    pretraining: Pretraining
    seeds: int
    converted_kv_heads: Sequence[int]
    fractions: Sequence[float]
    uptraining_rate: float
    checkpoint_uptraining: Pretraining
    heldout_tokens: int
    checkpoint_heldout_tokens: int


def architecture(*, d_model: int, n_layers: int, head_dim: int) -> DecoderConfig:
    """A Llama-like decoder over bytes with 8 heads."""
    return DecoderConfig(
        vocab_size=VOCAB_SIZE,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=8,
        n_kv_heads=8,
        head_dim=head_dim,
        d_ff=d_model * 8 // 3 // 32 * 32,
        max_positions=8192,
    )


FULL = Scale(
    timed=architecture(d_model=512, n_layers=4, head_dim=64),
    kv_heads=(8, 4, 2, 1),
    grid=((1, 256), (1, 1024), (1, 4096), (4, 256), (4, 1024), (4, 4096), (16, 256), (16, 1024)),
    cross_grid=((1, 1024), (16, 256), (16, 1024), (4, 4096)),
    decode_steps=24,
    trained=architecture(d_model=128, n_layers=4, head_dim=16),
    pretraining=Pretraining(steps=200, tokens_per_step=1024, sequence_length=256, learning_rate=3e-3),
    seeds=2,
    converted_kv_heads=(2, 1),
    fractions=(0.05, 0.1),
    uptraining_rate=0.3,
    checkpoint_uptraining=Pretraining(
        steps=4, tokens_per_step=1024, sequence_length=512, learning_rate=3e-4, checkpoint_seconds=120.0
    ),
    heldout_tokens=65_536,
    checkpoint_heldout_tokens=4096,
)
QUICK = replace(
    FULL,
    timed=architecture(d_model=256, n_layers=2, head_dim=32),
    kv_heads=(8, 2, 1),
    grid=((1, 256), (1, 1024), (8, 256), (8, 1024)),
    cross_grid=((1, 1024), (8, 256), (8, 1024)),
    trained=architecture(d_model=64, n_layers=2, head_dim=8),
    pretraining=Pretraining(steps=40, tokens_per_step=1024, sequence_length=128, learning_rate=3e-3),
    seeds=1,
    converted_kv_heads=(1,),
    heldout_tokens=16_384,
)

QUICK_MINUTES = 2.0

_TRAINING_SHARE, _CHECKPOINT_SHARE = 0.45, 0.25
"""Of the minutes, for training the lab's own models and for the checkpoint; the rest is for timing and evaluating."""
_CHECKPOINT_TOKENS = 262_144
"""Of the text, at most, to train the checkpoint on."""
_CHECKPOINT_RUNS = 6
"""Four up-trainings of the checkpoint, and its evaluations, which take as long as two more."""


@dataclass(frozen=True, kw_only=True)
class AttentionExperiment:
    """Measure, train, convert. checkpoint: a model that is converted too."""

    name: ClassVar[str] = "attention"
    minutes: float
    seed: int
    scale: Scale
    text_file: Path | None = None
    checkpoint: Path | None = None

    @cached_property
    def text(self) -> LabText:
        return load_text(self.text_file)

    def settings(self) -> dict[str, Any]:
        return {
            "command": command_line(self.name, self.minutes, quick=self.scale is QUICK),
            "minutes": self.minutes,
            "scale": asdict(self.scale),
            "text": [self.text.source, self.text.identity],
            "compute_dtype": str(choose_compute_dtype("auto", choose_device())).removeprefix("torch."),
            "checkpoint": None if self.checkpoint is None else self.checkpoint.name,
        }

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        scale, seconds, device = self.scale, self.minutes * 60, choose_device()
        dtype = choose_compute_dtype("auto", device)
        bench = Bench(self.text, notebook, display, device, dtype, scale.heldout_tokens)
        display.say("speed and memory", style="bold")
        parts = [_speed(bench, scale)]
        display.say("quality after equal training, and after conversion", style="bold")
        parts.append(_quality(bench, scale, seconds, self.seed))
        if self.checkpoint is not None:
            display.say(f"conversion of {self.checkpoint.stem}", style="bold")
            parts.append(_checkpoint(bench, scale, seconds, self.seed, self.checkpoint))
        return Findings(
            [*(table for part in parts for table in part[0]), PUBLISHED], [panel for part in parts for panel in part[1]]
        )


def _speed(bench: Bench, scale: Scale) -> Part:
    configs = variants(scale.timed, scale.kv_heads)
    timings = measure_speeds(
        configs,
        scale.grid,
        steps=scale.decode_steps,
        dtype=bench.dtype,
        device=bench.device,
        notebook=bench.notebook,
        display=bench.display,
    )
    writings = measure_writing(
        configs,
        scale.cross_grid,
        steps=scale.decode_steps,
        dtype=bench.dtype,
        device=bench.device,
        notebook=bench.notebook,
        display=bench.display,
    )
    return [*timings.tables(), *writings.tables()], [*timings.panels(), writings.panel()]


def _quality(bench: Bench, scale: Scale, seconds: float, seed: int) -> Part:
    """Architectures trained alike; then the first, the MHA model of the first seed, converted and trained on."""
    configs = variants(scale.trained, scale.kv_heads)
    ways = 1 + len(POOLINGS) * len(scale.converted_kv_heads)
    runs = len(configs) * scale.seeds + ways * sum(scale.fractions)
    scratch = Decoder(configs[0], compute_dtype=bench.dtype).to(bench.device)
    steps = bench.planned_steps(scratch, scale.pretraining, seconds=_TRAINING_SHARE * seconds / runs, name="training")
    settings = replace(scale.pretraining, steps=steps)
    losses = train_alike(bench, configs, settings, range(seed, seed + scale.seeds))
    shares = {f"{fraction:.0%} of the tokens": max(1, round(fraction * steps)) for fraction in scale.fractions}
    uptraining = Uptraining(
        bench=bench,
        original=pretrained(bench, configs[0], settings, seed),
        settings=replace(settings, learning_rate=settings.learning_rate * scale.uptraining_rate),
        shares=shares,
        seed=seed,
        first=steps,
        name="own",
    )
    conversions = uptraining.run(scale.converted_kv_heads)
    original = losses[name_of(configs[0])][0]
    title = "Conversion of the MHA model"
    note = (
        f"The model of seed {seed} above. Up-training takes further data of the same text, at a peak learning rate of "
        f"{uptraining.settings.learning_rate:g} against {settings.learning_rate:g} before; the first row is trained on "
        "likewise, without a conversion."
    )
    return (
        [
            quality_table(configs, losses, settings),
            conversion_table(title, original, conversions, unit="byte", note=note),
        ],
        [
            Panel(
                "Quality after equal training",
                "KV heads",
                "held-out loss, nats a byte",
                {
                    f"seed {seed + index}": [(config.n_kv_heads, losses[name_of(config)][index]) for config in configs]
                    for index in range(scale.seeds)
                },
                log_x=True,
            ),
            conversion_panel(title, original, conversions, shares, unit="byte"),
        ],
    )


def _checkpoint(bench: Bench, scale: Scale, seconds: float, seed: int, file: Path) -> Part:
    """A published model, all of its KV heads pooled into one, trained on for as long as there is time."""
    decoder, tokenizer = burnish.load(file, compute_dtype=bench.dtype, device=bench.device)
    heads = decoder.config.n_kv_heads
    if heads == 1:
        raise BurnishError(f"{file}: has one key/value head already: there is nothing to convert")
    settings = scale.checkpoint_uptraining
    text = tokenized(
        bench.text,
        tokenizer,
        train_tokens=_CHECKPOINT_TOKENS,
        heldout_tokens=scale.checkpoint_heldout_tokens,
        seed=seed,
    )
    bench = replace(bench, text=text, heldout_tokens=scale.checkpoint_heldout_tokens)
    limit = _CHECKPOINT_SHARE * seconds / _CHECKPOINT_RUNS
    steps = bench.planned_steps(with_kv_heads(decoder, 1), settings, seconds=limit, name="checkpoint")
    shares = {f"{steps * settings.tokens_per_step:,} tokens": steps}
    uptraining = Uptraining(bench, decoder, settings, shares, seed=seed, first=0, name="checkpoint")
    conversions = uptraining.run([1])
    original = conversions[0].converted
    title = f"Conversion of {file.stem}"
    note = (
        f"{scale.checkpoint_heldout_tokens:,} tokens of the lab's held-out text. The first row is the model itself, "
        f"trained on likewise at {settings.learning_rate:g}. Models of its kind are trained on trillions of tokens, of "
        "which this is nothing like 5 %: `examples/gqa` trains for longer."
    )
    table = conversion_table(title, original, conversions, unit="token", note=note)
    return [table], [conversion_panel(title, original, conversions, shares, unit="token")]
