"""Time and memory of attention by the number of key and value heads, beside what theory allows."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median

import torch

from burnish.forest import Forest
from burnish.generation.cache import KVCache
from burnish.lab.attention.roofline import Machine, decode_cost, kv_bytes_per_token, measure, prefill_cost
from burnish.lab.notebook import Notebook
from burnish.lab.report import Cell, Panel, Table
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.runs.progress import Reporter

_PREFILLS, _PREFILL_SECONDS = 5, 2.0
"""A prefill is run so often, or for so long; the fastest counts."""

Grid = Sequence[tuple[int, int]]
"""(batch, context) of each measurement."""


@dataclass(frozen=True)
class Speed:
    """One decoder at one batch and context. The bytes are those that the cache's tensors take, per prompt token."""

    prefill_seconds: float
    decode_seconds: float
    kv_bytes_per_token: float


def name_of(config: DecoderConfig) -> str:
    """MHA, GQA-4, MQA: by the number of key and value heads."""
    if config.n_kv_heads == config.n_heads:
        return "MHA"
    return "MQA" if config.n_kv_heads == 1 else f"GQA-{config.n_kv_heads}"


def variants(config: DecoderConfig, kv_heads: Sequence[int]) -> list[DecoderConfig]:
    """The same architecture with each of these numbers of key and value heads."""
    return [replace(config, n_kv_heads=count) for count in kv_heads]


@torch.no_grad()
def time_decoder(decoder: Decoder, *, batch: int, context: int, steps: int) -> Speed:
    """Run `batch` prompts of `context` random tokens, then `steps` tokens more for each; random weights do."""
    decoder.eval()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(decoder.config.vocab_size, (batch, context), generator=generator)
    prompts = Forest.from_segments((row, -1) for row in tokens.tolist()).to(decoder.device)
    decoder(Forest.from_segments([([0, 1], -1)]).to(decoder.device))  # the weights are cast, the threads awake
    prefill = math.inf
    begun = now(decoder.device)
    # The first run of a shape also pays for memory that later ones find: short ones run again.
    for _ in range(_PREFILLS):
        started = now(decoder.device)
        cache = KVCache(decoder, prompts, range(batch))
        decoder.logits(cache.last_hidden)
        prefill = min(prefill, now(decoder.device) - started)
        if now(decoder.device) - begun > _PREFILL_SECONDS:
            break
    held = cache.n_bytes / (batch * context)
    decoder.pack(batch)
    chosen = tokens[:, 0].to(decoder.device)
    times = []
    for _ in range(steps):
        started = now(decoder.device)
        chosen = decoder.logits(cache.step(chosen)).argmax(-1)
        times.append(now(decoder.device) - started)
    return Speed(prefill, median(times[1:]), held)


@dataclass(frozen=True)
class Timings:
    """What `measure_speeds` found, and the tables and plots of it."""

    configs: Sequence[DecoderConfig]
    grid: Grid
    machine: Machine
    speeds: Mapping[tuple[str, int, int], Speed]
    dtype: torch.dtype

    @property
    def largest(self) -> tuple[int, int]:
        """The batch and context with the most tokens in the cache."""
        return max(self.grid, key=lambda cell: cell[0] * cell[1])

    def tables(self) -> list[Table]:
        return [self._cache(), self._prefill(), self._decode(), self._bound()]

    def _rows(self, row: Callable[[DecoderConfig, Speed], Sequence[Cell]]) -> list[Sequence[Cell]]:
        """One row for each decoder, of its shape and its speed at the largest cell."""
        return [(name_of(config), *row(config, self.speeds[name_of(config), *self.largest])) for config in self.configs]

    def _cells(self) -> list[str]:
        return [f"{batch} × {context:,}" for batch, context in self.grid]

    def _cache(self) -> Table:
        shape, (batch, context) = self.configs[0], self.largest

        def row(config: DecoderConfig, speed: Speed) -> Sequence[Cell]:
            theory = kv_bytes_per_token(config, self.dtype)
            size = theory * batch * context / 2**20
            return config.n_kv_heads, n_parameters(config), theory, round(speed.kv_bytes_per_token), size

        return Table(
            "KV cache",
            ["", "KV heads", "parameters", "bytes a token, theory", "bytes a token, held", "MiB at the largest"],
            self._rows(row),
            f"Theory: 2 · {shape.n_layers} layers · KV heads · {shape.head_dim} (head_dim) · {self.dtype.itemsize} "
            f"bytes ({self._format}). Held: what the cache's tensors take after the prompts. The largest: {batch} "
            f"prompts of {context:,} tokens.",
        )

    def _prefill(self) -> Table:
        shape, (batch, context) = self.configs[0], self.largest

        def row(config: DecoderConfig, speed: Speed) -> Sequence[Cell]:
            bound = prefill_cost(config, batch=batch, context=context, dtype=self.dtype).seconds(self.machine)
            seconds = [self.speeds[name_of(config), b, c].prefill_seconds for b, c in self.grid]
            rates = [b * c / each for (b, c), each in zip(self.grid, seconds, strict=True)]
            return *rates, bound / speed.prefill_seconds

        return Table(
            "Prefill: prompt tokens/s by batch × context",
            ["", *self._cells(), f"share of the roofline at {batch} × {context:,}"],
            self._rows(row),
            f"{shape.n_layers} layers, d_model {shape.d_model}, {shape.n_heads} query heads, random weights. "
            f"The fastest of up to {_PREFILLS} runs.",
        )

    def _decode(self) -> Table:
        def row(config: DecoderConfig, _: Speed) -> Sequence[Cell]:
            return [b / self.speeds[name_of(config), b, c].decode_seconds for b, c in self.grid]

        note = "The median step of each measurement."
        return Table("Decode: new tokens/s by batch × context", ["", *self._cells()], self._rows(row), note)

    def _bound(self) -> Table:
        """Decode against the roofline where the cache is largest."""
        (batch, context), first = self.largest, self.configs[0]
        cost_of = partial(decode_cost, batch=batch, context=context, dtype=self.dtype)
        slowest = self.speeds[name_of(first), batch, context].decode_seconds

        def row(config: DecoderConfig, speed: Speed) -> Sequence[Cell]:
            cost = cost_of(config)
            bound = cost.seconds(self.machine)
            return (
                cost.flops / batch / 1e6,
                cost.bytes / batch / 1e6,
                cost.bound_by(self.machine),
                bound * 1e3,
                speed.decode_seconds * 1e3,
                cost_of(first).seconds(self.machine) / bound,
                slowest / speed.decode_seconds,
            )

        columns = ["MFLOP a token", "MB moved a token", "bound by", "ms a step, theory", "measured"]
        return Table(
            f"Decode against theory at {batch} × {context:,}",
            ["", *columns, f"times as fast as {name_of(first)}, theory", "measured "],
            self._rows(row),
            f"Theory is the roofline of the best rates measured here: {self.machine.flops_per_second / 1e9:,.0f} "
            f"GFLOP/s in {self._format} products, {self.machine.bytes_per_second / 1e9:.1f} GB/s read from memory.",
        )

    @property
    def _format(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def panels(self) -> list[Panel]:
        """Decode over the context at the largest batch that has most of them, over the batch likewise, and theory's."""
        batch = max((b for b, _ in self.grid), key=lambda b: (sum(other == b for other, _ in self.grid), b))
        context = max((c for _, c in self.grid), key=lambda c: (sum(other == c for _, other in self.grid), c))
        names = [name_of(config) for config in self.configs]
        rates = {key: key[1] / speed.decode_seconds for key, speed in self.speeds.items()}
        cost_of = partial(decode_cost, batch=self.largest[0], context=self.largest[1], dtype=self.dtype)
        bounds = [self.largest[0] / cost_of(config).seconds(self.machine) for config in self.configs]
        heads = [config.n_kv_heads for config in self.configs]
        return [
            Panel(
                f"Decode, batch {batch}",
                "context, tokens",
                "new tokens/s",
                {name: [(c, rates[name, b, c]) for b, c in sorted(self.grid) if b == batch] for name in names},
                log_x=True,
            ),
            Panel(
                f"Decode, context {context:,}",
                "batch",
                "new tokens/s",
                {name: [(b, rates[name, b, c]) for b, c in sorted(self.grid) if c == context] for name in names},
                log_x=True,
                log_y=True,
            ),
            Panel(
                f"Decode, {self.largest[0]} × {self.largest[1]:,}",
                "KV heads",
                "new tokens/s",
                {
                    "roofline": list(zip(heads, bounds, strict=True)),
                    "measured": [(n, rates[name, *self.largest]) for n, name in zip(heads, names, strict=True)],
                },
                log_x=True,
            ),
        ]


def measure_speeds(
    configs: Sequence[DecoderConfig],
    grid: Grid,
    *,
    steps: int,
    dtype: torch.dtype,
    device: torch.device,
    notebook: Notebook,
    display: Reporter,
) -> Timings:
    """The machine's rates, and every decoder at every batch and context; finished measurements are kept."""

    def measured(config: DecoderConfig, batch: int, context: int) -> dict[str, float]:
        decoder = Decoder(config, compute_dtype=dtype).to(device)
        return asdict(time_decoder(decoder, batch=batch, context=context, steps=steps))

    machine = Machine(**notebook.piece("machine", lambda: asdict(measure(dtype, device))))
    speeds = {}
    # Cell by cell, not decoder by decoder: what else the machine does then meets all decoders alike.
    cells = [(batch, context, config) for batch, context in grid for config in configs]
    with display.bar("prefill and decode", len(cells), "measurements") as bar:
        for done, (batch, context, config) in enumerate(cells, start=1):
            name = name_of(config)
            kept = notebook.piece(f"speed-{name}-{batch}-{context}", partial(measured, config, batch, context))
            speeds[name, batch, context] = Speed(**kept)
            bar.update(done)
    return Timings(configs, grid, machine, speeds, dtype)


def n_parameters(config: DecoderConfig) -> int:
    """Parameters of a decoder of this shape."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Decoder(config).parameters())


def now(device: torch.device) -> float:
    """Seconds, after all that the device was asked for is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
