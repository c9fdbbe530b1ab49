"""Time, memory and disk of a run's stages, from a few seconds of the same work on this machine.

Notable choices:
- the model's own shape is measured with one layer and with three, with random weights: a layer's cost is the
  difference, so that a model of any depth is measured in seconds and in little memory;
- what is measured is kept for each machine, shape, number format and thread count, with its date and how busy the
  machine was; it is measured again after a week, and where the machine was busy and is so no longer;
- decoding is priced as if every answer were as long as it may be: an upper bound, as the count of its tokens is.
"""

import json
import time
from collections.abc import Callable, Sequence
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
from burnish.recipes.plan.models import count_parameters, read_config
from burnish.recipes.plan.planned import Plan, PlannedStage
from burnish.recipes.plan.work import Work
from burnish.runs.environment import GIB
from burnish.runs.hashes import digest

TOKENS = 256
ROWS = 16
NEW_TOKENS = 8
PROGRAM_BYTES = 0.6 * GIB
"""Python, PyTorch and the tokenizer, before any weight."""
KEPT_SECONDS = 7 * 24 * 3600
"""A measurement is older than this when drivers, cooling and neighbours may be others."""
BUSY = 0.5
"""Waiting processes a core at which a measurement is of a busy machine; with half as many it is measured again."""
FILE_BYTES_PER_SECOND = 0.4 * GIB
"""Reading and writing of a model, with its checksum."""


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


@dataclass(frozen=True)
class Estimate:
    """What a stage will take. seconds: None where its data is still to be made. memory, disk: bytes."""

    name: str
    work: Work | None
    seconds: float | None
    memory: float | None
    disk: int


def estimate(plan: Plan, works: Sequence[tuple[PlannedStage, Work | None]]) -> list[Estimate]:
    """Estimates of stages whose work is counted, or not known yet.

    Raises:
        BurnishError: a stage's weights, gradients and moments alone are more than the machine has.
    """
    model = read_config(plan.model)
    parameters = count_parameters(model)
    device = choose_device(plan.recipe.device)
    total = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total
    found = []
    for stage, work in works:
        if work is not None:
            least = parameters * 4 * (1 + 3 * (work.weights if work.trained else 0))
            if least > total:
                raise BurnishError(
                    f"stage {stage.name}: the weights{', gradients and moments' if work.trained else ''} of "
                    f"{parameters:,} parameters are {least / GIB:.1f} GiB, and {device_name(device)} has "
                    f"{total / GIB:.1f} GiB; train with `lora`, freeze layers, or take a smaller model"
                )
    rates = measured(plan, model) if any(work is not None for _, work in works) else None
    for stage, work in works:
        disk = stage.config.disk_bytes(parameters)
        if work is None or rates is None:
            found.append(Estimate(stage.name, None, None, None, disk))
            continue
        found.append(
            Estimate(
                stage.name,
                work,
                seconds_of(work, rates, model, parameters) + disk / FILE_BYTES_PER_SECOND,
                memory_of(work, rates, model, parameters),
                disk,
            )
        )
    return found


def seconds_of(work: Work, rates: Rates, model: DecoderConfig, parameters: int) -> float:
    """Computing time of a stage."""
    layers = model.n_layers
    score = rates.score_layer * layers + rates.score_head
    backward = (rates.train_layer - rates.score_layer) * layers * work.layers + rates.train_head - rates.score_head
    decode = rates.decode_layer * layers + rates.decode_head
    update = rates.update * parameters * work.weights * work.steps
    return work.trained * (score + backward) + work.scored * score + work.decoded * decode + update


def memory_of(work: Work, rates: Rates, model: DecoderConfig, parameters: int) -> float:
    """Peak of a stage in bytes: weights, gradients, moments, what a micro-batch keeps, or keys and values."""
    weights = parameters * 4.0
    training = 0.0
    if work.trained:
        kept = rates.kept_layer * model.n_layers * work.layers + rates.kept_head
        training = 3 * weights * work.weights + kept * work.micro_batch
    decoding = 0.0
    if work.decoded:
        cache = work.rows * work.longest * model.n_layers * 2 * model.n_kv_heads * model.head_dim * 4
        decoding = weights + cache  # the weights once more, packed for the machine's products
    return PROGRAM_BYTES + weights + max(training, decoding)


def measured(plan: Plan, model: DecoderConfig) -> Rates:
    """The machine's rates with a model of this shape, from the cache or measured now."""
    device = choose_device(plan.recipe.device)
    threads = set_threads(plan.recipe.threads)
    dtype = choose_compute_dtype(plan.recipe.compute_dtype, device)
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
