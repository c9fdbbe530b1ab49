"""What a token costs on this machine with a model of some shape, measured in a few seconds.

Notable choices:
- the model's own shape is measured with one layer and with three, with random weights: a layer's cost is the
  difference, so that a model of any depth is measured in seconds and in little memory;
- an encoder-decoder's token is one of a target, with as many of the source as come with it; its layer is the mean of
  those of both networks;
- what is measured is kept for each machine, shape, number format and thread count, with its date and how busy the
  machine was; it is measured again after a week, and where the machine was busy and is so no longer.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import psutil
import torch

from burnish import __version__
from burnish.datasets.batches import Batch
from burnish.errors import BurnishError
from burnish.generation.engine import generate, generate_from
from burnish.generation.sampling import Sampling
from burnish.hardware import cache_folder, choose_compute_dtype, choose_device, device_name, set_threads
from burnish.kept import read_json, write_json
from burnish.nn.config import DecoderConfig, EncoderDecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.runs.hashes import digest

TOKENS = 256
SEQUENCES = 4
"""Rows that these tokens are in."""
SHARES = 20
"""A token of a source is so common among those of pairs, in steps of one in so many, as is measured."""
ROWS = 16
NEW_TOKENS = 8
KEPT_SECONDS = 7 * 24 * 3600
"""A measurement is older than this when drivers, cooling and neighbours may be others."""
BUSY = 0.5
"""Waiting processes a core at which a measurement is of a busy machine; with half as many it is measured again."""


@dataclass(frozen=True)
class Rates:
    """Seconds a token of a layer and of what stands around the layers; bytes that training keeps of them."""

    train_layer: float
    train_head: float
    score_layer: float
    score_head: float
    decode_layer: float
    decode_head: float
    update: float
    kept_layer: float
    kept_head: float


def measured(
    model: DecoderConfig | EncoderDecoderConfig,
    device_named: str,
    dtype_named: str,
    threads: int | None,
    *,
    sources: float = 0.0,
) -> Rates:
    """The machine's rates with a model of this shape, from the cache or measured now.

    device_named, dtype_named: as a recipe has them, `auto` or a name. sources: of an encoder-decoder, how many tokens
    of the source come with one of the target.
    """
    device = choose_device(device_named)
    threads = set_threads(threads)
    dtype = choose_compute_dtype(dtype_named, device)
    share = _share(sources)
    shape = [asdict(model), share] if isinstance(model, EncoderDecoderConfig) else asdict(replace(model, n_layers=1))
    key = digest(
        [__version__, torch.__version__, device_name(device), threads, str(dtype), json.dumps(shape, default=str)]
    )
    file = cache_folder() / "rates.json"
    load = _load()
    try:
        kept = read_json(file, owner="rates")
        if _holds(kept[key], load):
            return Rates(**kept[key]["rates"])
    except KeyError:
        pass
    except (BurnishError, TypeError):
        kept = {}
    if isinstance(model, EncoderDecoderConfig):
        rates = _measure_pairs(model, share, device, dtype)
    else:
        rates = _measure(model, device, dtype)
    with suppress(BurnishError):  # a home that cannot be written to only means measuring again
        write_json(file, {**kept, key: {"at": time.time(), "load": load, "rates": asdict(rates)}}, owner="rates")
    return rates


def _share(sources: float) -> float:
    """The share of a source's tokens among all of a pair, as it is measured."""
    return min(max(round(sources / (1 + sources) * SHARES), 1), SHARES - 1) / SHARES


def _holds(kept: dict[str, Any], load: float) -> bool:
    """Whether what was measured is still to be priced by, now that the machine is as busy as `load` says."""
    then = float(kept["load"])
    return 0 <= time.time() - float(kept["at"]) < KEPT_SECONDS and not (then > BUSY and load < then / 2)


def _load() -> float:
    """How many processes wanted each of the cores in the last minute."""
    return psutil.getloadavg()[0] / (psutil.cpu_count() or 1)


def _measure(model: DecoderConfig, device: torch.device, dtype: torch.dtype) -> Rates:
    one, three = (_Probe.of_decoder(_shallow(model, layers), device, dtype) for layers in (1, 3))

    def split(of: Callable[[_Probe], float]) -> tuple[float, float]:
        first, third = of(one), of(three)
        layer = max(0.0, (third - first) / 2)
        return layer, max(0.0, first - layer)

    return _rates(split, three)


def _measure_pairs(model: EncoderDecoderConfig, share: float, device: torch.device, dtype: torch.dtype) -> Rates:
    depths = (1, 1), (3, 1), (1, 3)
    one, of_encoder, of_decoder = (
        _Probe.of_pairs(
            replace(model, encoder=_shallow(model.encoder, reads), decoder=_shallow(model.decoder, writes)),
            share,
            device,
            dtype,
        )
        for reads, writes in depths
    )
    n_encoder, n_decoder = model.encoder.n_layers, model.decoder.n_layers

    def split(of: Callable[[_Probe], float]) -> tuple[float, float]:
        first, reading, writing = of(one), of(of_encoder), of(of_decoder)
        encoder, decoder = max(0.0, (reading - first) / 2), max(0.0, (writing - first) / 2)
        mean = (encoder * n_encoder + decoder * n_decoder) / (n_encoder + n_decoder)
        return mean, max(0.0, first - encoder - decoder)

    return _rates(split, of_decoder)


def _rates(split: Callable[[Callable[["_Probe"], float]], tuple[float, float]], deep: "_Probe") -> Rates:
    """All rates. split: what a layer takes, and what all else does, of something measured."""
    train, score, decode, kept = (split(of) for of in (_Probe.train, _Probe.score, _Probe.decode, _Probe.kept))
    return Rates(*train, *score, *decode, deep.update(), *kept)


def _shallow(model: DecoderConfig, layers: int) -> DecoderConfig:
    """The model's shape with so many of its first layers."""
    values: dict[str, Any] = {"n_layers": layers}
    for name, value in vars(model).items():
        if isinstance(value, tuple) and len(value) == model.n_layers:
            values[name] = value[:layers]
    return replace(model, **values)


class _Probe:
    """A shallow model with random weights, and what is timed on it: the better of two calls after a first one.

    logps: scores what is to be scored of a batch. generate: samples `ROWS` rows of `NEW_TOKENS` tokens. tokens: those
    that the rates are for.
    """

    def __init__(
        self,
        model: Decoder | EncoderDecoder,
        logps: Callable[[], torch.Tensor],
        generate: Callable[[Sampling], object],
        tokens: int,
    ) -> None:
        self.model, self.logps, self.generate, self.tokens = model, logps, generate, tokens

    @classmethod
    def of_decoder(cls, config: DecoderConfig, device: torch.device, dtype: torch.dtype) -> "_Probe":
        decoder = Decoder(config, compute_dtype=dtype)
        decoder.initialize(seed=0)
        decoder.to(device)
        rows = _rows(config.vocab_size, TOKENS // SEQUENCES)
        batch = Batch.from_rows(rows, [[False] + [True] * (len(row) - 1) for row in rows]).to(device)
        prompts = [row[:32] for row in rows]
        return cls(
            decoder,
            lambda: decoder.logps(batch.forest, batch.scored),
            lambda sampling: generate(decoder, prompts, sampling, n=ROWS // SEQUENCES),
            batch.forest.n_tokens,
        )

    @classmethod
    def of_pairs(cls, config: EncoderDecoderConfig, share: float, device: torch.device, dtype: torch.dtype) -> "_Probe":
        model = EncoderDecoder(config, compute_dtype=dtype)
        model.initialize(seed=0)
        model.to(device)
        length = TOKENS // SEQUENCES
        read = round(length * share)
        sources = _rows(config.encoder.vocab_size, read)
        first = len(config.prefix)
        targets = _rows(config.decoder.vocab_size, max(1, length - read - first))
        rows = [[*config.prefix, *row] for row in targets]
        masks = [[False] * first + [True] * len(row) for row in targets]
        batch = Batch.from_rows(rows, masks, sources=sources).to(device)
        of_batch = batch.sources
        assert of_batch is not None
        return cls(
            model,
            lambda: model.logps(batch.forest, batch.scored, of_batch),
            lambda sampling: generate_from(model, sources, sampling, n=ROWS // SEQUENCES),
            batch.forest.n_tokens,
        )

    def _seconds(self, call: Callable[[], object]) -> float:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            call()
            if self.model.device.type == "cuda":
                torch.cuda.synchronize(self.model.device)
            times.append(time.perf_counter() - started)
        return min(times[1:])

    def _forward_backward(self) -> None:
        self.logps().sum().backward()

    def train(self) -> float:
        self.model.train()
        return self._seconds(self._forward_backward) / self.tokens

    def score(self) -> float:
        self.model.eval()
        with torch.inference_mode():
            return self._seconds(self.logps) / self.tokens

    def decode(self) -> float:
        sampling = Sampling(temperature=1.0, max_new_tokens=NEW_TOKENS)
        return self._seconds(lambda: self.generate(sampling)) / (ROWS * NEW_TOKENS)

    def update(self) -> float:
        """Seconds that AdamW takes for one parameter."""
        if all(parameter.grad is None for parameter in self.model.parameters()):
            self._forward_backward()
        fused = self.model.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(self.model.parameters(), fused=fused)
        return self._seconds(optimizer.step) / sum(parameter.numel() for parameter in self.model.parameters())

    def kept(self) -> float:
        """Bytes that a forward pass keeps for the backward pass, a token; weights are not counted."""
        weights = {parameter.untyped_storage().data_ptr() for parameter in self.model.parameters()}
        sizes: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.logps()
        return sum(sizes.values()) / self.tokens


def _rows(vocab_size: int, length: int) -> list[list[int]]:
    """`SEQUENCES` rows of random tokens."""
    drawn = torch.randint(0, vocab_size, (SEQUENCES, length), generator=torch.Generator().manual_seed(0))
    rows: list[list[int]] = drawn.tolist()
    return rows
