"""Time and memory of an encoder-decoder by the number of key and value heads of its attentions.

At each step every row reads the keys and values of its whole source, which do not grow: what cross-attention costs is
clearest where sources are long and what is written is short, as in summarization.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

import torch

from burnish.forest import Forest
from burnish.generation.cache import KVCache
from burnish.generation.sources import SourceCache
from burnish.lab.attention.roofline import kv_bytes_per_token
from burnish.lab.attention.speed import Grid, name_of, now
from burnish.lab.notebook import Notebook
from burnish.lab.report import Cell, Panel, Table
from burnish.nn.config import DecoderConfig, EncoderDecoderConfig
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.runs.progress import Reporter

_ENCODINGS, _ENCODING_SECONDS = 3, 2.0
"""Sources are encoded so often, or for so long; the fastest counts."""


@dataclass(frozen=True)
class Writing:
    """One encoder-decoder at one batch and source. The bytes are those that the source's keys and values take."""

    encode_seconds: float
    decode_seconds: float
    bytes_per_source_token: float


@torch.no_grad()
def time_writing(
    config: DecoderConfig, *, batch: int, source: int, steps: int, dtype: torch.dtype, device: torch.device
) -> Writing:
    """Encode `batch` sources of `source` random tokens and write `steps` tokens for each; random weights do.

    Both sides are of `config`, and cross-attention has as many key and value heads as they have.
    """
    model = EncoderDecoder(EncoderDecoderConfig.alike(config, start_id=0), compute_dtype=dtype).to(device).eval()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocab_size, (batch, source), generator=generator)
    sources = Forest.from_segments((row, -1) for row in tokens.tolist()).to(device)
    prompts = Forest.from_segments(([0], -1) for _ in range(batch)).to(device)
    encode, begun = math.inf, now(device)
    for _ in range(_ENCODINGS):
        started = now(device)
        written_from = SourceCache(model, sources, prompts, range(batch))
        encode = min(encode, now(device) - started)
        if now(device) - begun > _ENCODING_SECONDS:
            break
    cache = KVCache(model.decoder, prompts, range(batch), sources=written_from)
    model.pack(batch)
    chosen, times = tokens[:, 0].to(device), []
    for _ in range(steps):
        started = now(device)
        chosen = model.logits(cache.step(chosen)).argmax(-1)
        times.append(now(device) - started)
    return Writing(encode, median(times[1:]), written_from.n_bytes / (batch * source))


@dataclass(frozen=True)
class Writings:
    """What `measure_writing` found, and the tables and the plot of it."""

    configs: Sequence[DecoderConfig]
    grid: Grid
    writings: Mapping[tuple[str, int, int], Writing]
    dtype: torch.dtype

    def tables(self) -> list[Table]:
        return [self._memory(), self._decode()]

    def _memory(self) -> Table:
        batch, source = self._largest
        rows: list[Sequence[Cell]] = []
        for config in self.configs:
            writing = self.writings[name_of(config), batch, source]
            theory = kv_bytes_per_token(config, self.dtype)
            held, size = round(writing.bytes_per_source_token), theory * batch * source / 2**20
            encoded = batch * source / writing.encode_seconds
            rows.append((name_of(config), config.n_kv_heads, _n_parameters(config), theory, held, size, encoded))
        columns = ["", "KV heads", "parameters", "bytes a source token, theory", "bytes a source token, held"]
        return Table(
            "Encoder-decoder: keys and values of the source",
            [*columns, "MiB at the largest", "source tokens/s encoded"],
            rows,
            f"An encoder and a decoder of {self.configs[0].n_layers} layers each, with so many KV heads in all three "
            "attentions. What cross-attention reads is made once for a source and does not grow. The largest: "
            f"{batch} sources of {source:,} tokens.",
        )

    def _decode(self) -> Table:
        first, largest = name_of(self.configs[0]), self._largest
        slowest = self.writings[first, *largest].decode_seconds
        rows: list[Sequence[Cell]] = []
        for config in self.configs:
            name = name_of(config)
            rates = [batch / self.writings[name, batch, source].decode_seconds for batch, source in self.grid]
            rows.append((name, *rates, slowest / self.writings[name, *largest].decode_seconds))
        cells = [f"{batch} × {source:,}" for batch, source in self.grid]
        return Table(
            "Encoder-decoder: new tokens/s by batch × source",
            ["", *cells, f"times as fast as {first} at {largest[0]} × {largest[1]:,}"],
            rows,
            "The median step of each measurement; what is written is short beside its source.",
        )

    def panel(self) -> Panel:
        """Decoding over the length of the source at the batch that has most of them."""
        batch = max((b for b, _ in self.grid), key=lambda b: (sum(other == b for other, _ in self.grid), b))
        lines = {}
        for name in map(name_of, self.configs):
            cells = [(source, self.writings[name, b, source]) for b, source in sorted(self.grid) if b == batch]
            lines[name] = [(source, batch / writing.decode_seconds) for source, writing in cells]
        return Panel(f"Encoder-decoder, batch {batch}", "source, tokens", "new tokens/s", lines, log_x=True)

    @property
    def _largest(self) -> tuple[int, int]:
        return max(self.grid, key=lambda cell: cell[0] * cell[1])


def measure_writing(
    configs: Sequence[DecoderConfig],
    grid: Grid,
    *,
    steps: int,
    dtype: torch.dtype,
    device: torch.device,
    notebook: Notebook,
    display: Reporter,
) -> Writings:
    """Every encoder-decoder at every batch and source; finished measurements are kept."""

    def measured(config: DecoderConfig, batch: int, source: int) -> dict[str, float]:
        return asdict(time_writing(config, batch=batch, source=source, steps=steps, dtype=dtype, device=device))

    writings = {}
    cells = [(batch, source, config) for batch, source in grid for config in configs]
    with display.bar("encoder-decoder", len(cells), "measurements") as bar:
        for done, (batch, source, config) in enumerate(cells, start=1):
            name = name_of(config)
            kept = notebook.piece(f"writing-{name}-{batch}-{source}", partial(measured, config, batch, source))
            writings[name, batch, source] = Writing(**kept)
            bar.update(done)
    return Writings(configs, grid, writings, dtype)


def _n_parameters(config: DecoderConfig) -> int:
    with torch.device("meta"):
        model = EncoderDecoder(EncoderDecoderConfig.alike(config, start_id=0))
    return sum(parameter.numel() for parameter in model.parameters())
