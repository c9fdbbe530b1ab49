"""Small decoders trained from random weights on the lab's text, by the training loop that recipes use."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from burnish.datasets.batches import Batch, document_batches
from burnish.evaluation.perplexity import perplexity
from burnish.files import atomic_file
from burnish.lab.text import LabText
from burnish.methods.pretrain import drawn, learn
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.objectives.language_model import language_model
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.loop import Progress
from burnish.training.state import discard_state

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """How a decoder of the lab is trained: AdamW, linear warm-up, then cosine decay to a tenth of the peak."""

    steps: int
    tokens_per_step: int
    sequence_length: int
    learning_rate: float
    warmup_fraction: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = 1.0
    micro_batch_tokens: int = 8192
    checkpoint_seconds: float = 20.0

    @property
    def batch_size(self) -> int:
        """Sequences a step."""
        return max(1, self.tokens_per_step // self.sequence_length)

    @property
    def training(self) -> TrainingConfig:
        settings = asdict(self)
        shared = {name: settings[name] for name in TrainingConfig.model_fields if name in settings}
        return TrainingConfig.model_validate({**shared, "batch_size": self.batch_size, "min_lr_fraction": 0.1})


class TextSteps:
    """The micro-batches of each step: windows of the training text in an order drawn from (seed, epoch)."""

    def __init__(self, text: LabText, settings: Pretraining, *, seed: int, first: int = 0) -> None:
        """first: the step of that order to begin with: what an earlier training has already seen."""
        self._windows = text.windows(settings.sequence_length)
        self._settings, self._seed, self._first = settings, seed, first

    def __len__(self) -> int:
        return self._settings.steps

    def __getitem__(self, step: int) -> list[Batch]:
        size = self._settings.batch_size
        numbers = range((self._first + step) * size, (self._first + step + 1) * size)
        documents = [self._window(number) for number in numbers]
        return document_batches(documents, micro_batch_tokens=self._settings.micro_batch_tokens)

    def _window(self, number: int) -> list[int]:
        epoch, place = divmod(number, len(self._windows))
        return self._windows[_order(len(self._windows), self._seed, epoch)[place]].tolist()


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The windows of an epoch in a random order; kept, since drawing it for each window would cost a step's time."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def fit(
    decoder: Decoder,
    text: LabText,
    settings: Pretraining,
    *,
    seed: int,
    folder: Path,
    first: int = 0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[float]:
    """Train `decoder` in place; returns the loss of every step, in nats a token.

    seed: of the data's order; the decoder's weights are the caller's. first: as in `TextSteps`.
    folder keeps `events.jsonl`, the resumable state, and at the end the weights: the same call again reads those.
    Raises Interrupted after Ctrl-C and BurnishError where the loss is no longer finite; `events.jsonl` keeps the
    steps before.
    """
    identity = _identity(decoder, text, settings, seed, first)
    if _load(decoder, folder, identity):
        return losses(folder)
    learn(
        decoder,
        TextSteps(text, settings, seed=seed, first=first),
        settings,
        Run(folder, seed=seed, key=identity),
        on_progress=on_progress,
    )
    with atomic_file(folder / WEIGHTS) as file:
        save_file(_tensors(decoder), file, metadata={"identity": identity})
    discard_state(folder)
    return losses(folder)


def pretrain(
    config: DecoderConfig,
    text: LabText,
    settings: Pretraining,
    *,
    seed: int,
    folder: Path,
    device: torch.device | None = None,
    compute_dtype: torch.dtype = torch.float32,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> tuple[Decoder, list[float]]:
    """A decoder of `config` with random weights from `seed`, trained as `fit` says; and the loss of every step."""
    decoder = drawn(config, seed=seed, device=device, compute_dtype=compute_dtype)
    return decoder, fit(decoder, text, settings, seed=seed, folder=folder, on_progress=on_progress)


def losses(folder: Path) -> list[float]:
    """The loss of every step that a training in `folder` has done."""
    return [float(event["loss"]) for event in read_events(folder)]


def heldout_loss(decoder: Decoder, text: LabText, *, sequence_length: int, max_tokens: int = 131_072) -> float:
    """Mean loss of the held-out text in nats a token (a byte), over windows spread evenly up to `max_tokens`."""
    windows = text.windows(sequence_length, heldout=True)
    count = min(len(windows), max(1, max_tokens // sequence_length))
    chosen = windows[np.linspace(0, len(windows) - 1, count).round().astype(int)]
    return math.log(perplexity(decoder, chosen.tolist()))


def seconds_per_step(decoder: Decoder, text: LabText, settings: Pretraining) -> float:
    """Seconds that a step of this training takes here: the middle of three, after one that warms up.

    The decoder is trained by it.
    """
    steps = TextSteps(text, settings, seed=0)
    optimizer = torch.optim.AdamW(decoder.parameters(), fused=decoder.device.type in ("cpu", "cuda"))
    times = []
    for step in range(4):
        started = time.perf_counter()
        for batch in (batch.to(decoder.device) for batch in steps[step]):
            (loss,), _ = language_model(decoder.logps(batch.forest, batch.scored), batch)
            (loss / batch.n_entries).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if decoder.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return sorted(times[1:])[1]


def _identity(decoder: Decoder, text: LabText, settings: Pretraining, seed: int, first: int) -> str:
    """Everything that the trained weights depend on, the weights that training starts from included."""
    facts: list[Any] = [
        asdict(decoder.config),
        asdict(settings),
        text.identity,
        seed,
        first,
        str(decoder.compute_dtype),
    ]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in _tensors(decoder).items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _load(decoder: Decoder, folder: Path, identity: str) -> bool:
    """Take over the weights of this very training where it is finished."""
    file = folder / WEIGHTS
    try:
        with safe_open(file, framework="pt") as opened:
            if (opened.metadata() or {}).get("identity") != identity:
                return False
        decoder.load_state_dict(load_file(file))
    except (SafetensorError, OSError, RuntimeError):
        return False
    decoder.eval()
    return True


def _tensors(decoder: Decoder) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in decoder.state_dict().items()}


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the sample's standard deviation where there are several values."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
