"""What a token costs on this machine with a model of some shape, measured in a few seconds.

Notable choices:
- the model's own shape is measured with one layer and with three, with random weights: a layer's cost is the
  difference, so that a model of any depth is measured in seconds and in little memory;
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
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.hardware import cache_folder, choose_compute_dtype, choose_device, device_name, set_threads
from burnish.kept import read_json, write_json
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.runs.hashes import digest

TOKENS = 256
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


def measured(model: DecoderConfig, device_named: str, dtype_named: str, threads: int | None) -> Rates:
    """The machine's rates with a model of this shape, from the cache or measured now.

    device_named, dtype_named: as a recipe has them, `auto` or a name.
    """
    device = choose_device(device_named)
    threads = set_threads(threads)
    dtype = choose_compute_dtype(dtype_named, device)
    shape = asdict(replace(model, n_layers=1))
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
    rates = _measure(model, device, dtype)
    with suppress(BurnishError):  # a home that cannot be written to only means measuring again
        write_json(file, {**kept, key: {"at": time.time(), "load": load, "rates": asdict(rates)}}, owner="rates")
    return rates


def _holds(kept: dict[str, Any], load: float) -> bool:
    """Whether what was measured is still to be priced by, now that the machine is as busy as `load` says."""
    then = float(kept["load"])
    return 0 <= time.time() - float(kept["at"]) < KEPT_SECONDS and not (then > BUSY and load < then / 2)


def _load() -> float:
    """How many processes wanted each of the cores in the last minute."""
    return psutil.getloadavg()[0] / (psutil.cpu_count() or 1)


def _measure(model: DecoderConfig, device: torch.device, dtype: torch.dtype) -> Rates:
    one, three = (_Probe(_shallow(model, layers), device, dtype) for layers in (1, 3))

    def split(of: Callable[[_Probe], float]) -> tuple[float, float]:
        first, third = of(one), of(three)
        layer = max(0.0, (third - first) / 2)
        return layer, max(0.0, first - layer)

    train, score, decode, kept = (split(of) for of in (_Probe.train, _Probe.score, _Probe.decode, _Probe.kept))
    return Rates(*train, *score, *decode, three.update(), *kept)


def _shallow(model: DecoderConfig, layers: int) -> DecoderConfig:
    """The model's shape with so many of its first layers."""
    values: dict[str, Any] = {"n_layers": layers}
    for name, value in vars(model).items():
        if isinstance(value, tuple) and len(value) == model.n_layers:
            values[name] = value[:layers]
    return replace(model, **values)


class _Probe:
    """A shallow model with random weights, and what is timed on it: the better of two calls after a first one."""

    def __init__(self, config: DecoderConfig, device: torch.device, dtype: torch.dtype) -> None:
        self.decoder = Decoder(config, compute_dtype=dtype)
        self.decoder.initialize(seed=0)
        self.decoder.to(device)
        tokens = torch.randint(0, config.vocab_size, (4, TOKENS // 4), generator=torch.Generator().manual_seed(0))
        rows: list[list[int]] = tokens.tolist()
        self.batch = Batch.from_rows(rows, [[False] + [True] * (len(row) - 1) for row in rows]).to(device)
        self.prompts = [row[:32] for row in rows]
        self.device = device

    def _seconds(self, call: Callable[[], object]) -> float:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            call()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            times.append(time.perf_counter() - started)
        return min(times[1:])

    def _forward_backward(self) -> None:
        self.decoder.logps(self.batch.forest, self.batch.scored).sum().backward()

    def train(self) -> float:
        self.decoder.train()
        return self._seconds(self._forward_backward) / TOKENS

    def score(self) -> float:
        self.decoder.eval()
        with torch.inference_mode():
            return self._seconds(lambda: self.decoder.logps(self.batch.forest, self.batch.scored)) / TOKENS

    def decode(self) -> float:
        sampling = Sampling(temperature=1.0, max_new_tokens=NEW_TOKENS)
        seconds = self._seconds(lambda: generate(self.decoder, self.prompts, sampling, n=ROWS // 4))
        return seconds / (ROWS * NEW_TOKENS)

    def update(self) -> float:
        """Seconds that AdamW takes for one parameter."""
        if all(parameter.grad is None for parameter in self.decoder.parameters()):
            self._forward_backward()
        optimizer = torch.optim.AdamW(self.decoder.parameters(), fused=self.device.type in ("cpu", "cuda"))
        return self._seconds(optimizer.step) / sum(parameter.numel() for parameter in self.decoder.parameters())

    def kept(self) -> float:
        """Bytes that a forward pass keeps for the backward pass, a token; weights are not counted."""
        weights = {parameter.untyped_storage().data_ptr() for parameter in self.decoder.parameters()}
        sizes: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.decoder.logps(self.batch.forest, self.batch.scored)
        return sum(sizes.values()) / TOKENS
