"""The one training loop.

Notable choices:
- the terms of a step's loss are sums over its micro-batches divided by the whole step's counts (tokens, pairs), so how
  a step is split changes nothing but memory; the numbers leave the device once a step;
- dropout is seeded by (seed, step): a resumed run computes the same bits as one that never stopped; it is a setting of
  the training, not of the model, and is gone with it;
- an objective is a function of the model's outputs and a batch; the loop knows none by name, and a step's batches may
  be sampled from the model itself when they are asked for.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from burnish.datasets.batches import Batch
from burnish.errors import BurnishError
from burnish.nn.config import Dropout
from burnish.nn.decoder import Decoder
from burnish.objectives.objective import Largest, Metric, Objective, Outputs, batch_metrics, loss_of, step_counts
from burnish.objectives.objective import step_metrics as in_one_step
from burnish.training.config import TrainingConfig
from burnish.training.events import EventLog
from burnish.training.heldout import Evaluate, HeldOut
from burnish.training.interrupt import Interrupted, deferred_interrupt
from burnish.training.loss_scale import LossScale
from burnish.training.names import SNAPSHOTS_FOLDER
from burnish.training.schedule import learning_rate
from burnish.training.state import load_state, save_state


class StepsLike(Protocol):
    """The micro-batches of each step, by number; asked for in order, with the model as the steps before left it."""

    def __len__(self) -> int: ...
    def __getitem__(self, step: int, /) -> list[Batch]: ...


@runtime_checkable
class Resumable(Protocol):
    """Steps that need more than their number to be gone on with."""

    def resume(self, step: int, /) -> None:
        """Raise BurnishError where what step `step` needs of those before it is gone."""


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows after a step."""

    step: int
    n_steps: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class TrainingReport:
    """What a finished run did, also the part before it was resumed."""

    steps: int
    metrics: dict[str, float]


def token_logps(decoder: Decoder) -> Callable[[Batch], Tensor]:
    """The outputs of most objectives: log-probabilities of a batch's scored tokens."""
    return lambda batch: decoder.logps(batch.forest, batch.scored)


def train(
    model: nn.Module,
    objective: Objective[Outputs],
    steps: StepsLike,
    config: TrainingConfig,
    *,
    folder: Path,
    seed: int,
    identity: str,
    outputs: Callable[[Batch], Outputs] | None = None,
    step_metrics: Callable[[int], Mapping[str, float]] = lambda _: {},
    evaluate: Evaluate | None = None,
    snapshot: Callable[[Path], None] | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_notice: Callable[[str], None] = lambda _: None,
    on_stop: Callable[[], None] = lambda: None,
) -> TrainingReport:
    """Train the model's trainable parameters in place.

    outputs: what the objective reads of a batch; `token_logps` of the model, a decoder, where left out.
    step_metrics: what is logged with a step beside the objective's metrics, such as the rewards of its samples.
    evaluate: the held-out metrics of the model as it is, for `eval_steps`. snapshot: writes the model as it is into a
    folder, for `snapshot_steps`.
    on_stop: called from the handler of the first signal that asks to stop; the step under way is finished and saved.
    on_notice: told what a reader of the result has to know, such as events that an interrupted run has lost.
    folder receives `events.jsonl` and the resumable state; a state with the same `identity` is gone on from.
    Raises Interrupted after Ctrl-C, with the state saved after the first and the loss named after a second; and
    BurnishError where there is no step to do or the loss is no longer finite.
    """
    n_steps = len(steps)
    if n_steps == 0:
        raise BurnishError("there is no step to do, so nothing would be learned; give more data or more epochs")
    if outputs is None:
        assert isinstance(model, Decoder)
        outputs = cast(Callable[[Batch], Outputs], token_logps(model))
    optimizer = _adamw(model, config)
    # Of the model as it came, before a saved state takes the place of its weights.
    pull = Pull(model, config.pull_to_start) if config.pull_to_start else None
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = parameters[0].device
    done, facts = load_state(folder, model=model, optimizer=optimizer, identity=identity)
    heldout = HeldOut(model, evaluate, config, folder=folder, identity=identity, facts=facts)
    scale = LossScale(model, facts)
    if config.snapshot_steps is not None and snapshot is None:
        raise BurnishError("training.snapshot_steps: nothing here can write a model of its own; remove it")
    metrics: dict[str, float] = {}
    finished = done
    saved_at = time.monotonic()
    if done and isinstance(steps, Resumable):
        steps.resume(done)
    saved = Saved(done, n_steps)
    with (
        EventLog(folder, first_step=done, on_notice=on_notice) as log,
        saved.named_when_stopped(),
        deferred_interrupt(on_stop) as stop,
        dropout(model, config),
    ):
        for step in range(done, n_steps):
            started = time.perf_counter()
            torch.manual_seed(_step_seed(seed, step))
            batches = [batch.to(device) for batch in steps[step]]
            model.train()  # sampling the step's batches may have left it in evaluation mode
            measured = _accumulate(outputs, objective, batches, scale.value)
            rate = learning_rate(step, n_steps, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            scale.unscale([parameter.grad for parameter in parameters if parameter.grad is not None])
            grad_norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
            metrics = in_one_step([*measured, {"grad_norm": Largest(grad_norm)}])
            norm = metrics.pop("grad_norm")
            if not np.isfinite(metrics["loss"]) or (not np.isfinite(norm) and scale.hopeless):
                raise BurnishError(
                    f"step {step + 1} of {n_steps}: the loss is {metrics['loss']} and the gradient norm {norm}; "
                    f"lower the learning rate ({config.learning_rate:g})"
                )
            if np.isfinite(norm):
                optimizer.step()
                if pull is not None:
                    pull(rate)
                # Fused optimizers change parameters without counting it; kept casts and packed weights go by the count.
                torch.autograd.graph.increment_version(parameters)
            scale.after(finite=bool(np.isfinite(norm)))
            optimizer.zero_grad(set_to_none=True)
            seconds = time.perf_counter() - started
            tokens = sum(batch.forest.n_tokens for batch in batches)
            metrics |= {
                **step_metrics(step),
                "learning_rate": rate,
                "grad_norm": norm,
                "tokens": tokens,
                "tokens_per_second": tokens / seconds,
            }
            if scale.on:
                metrics["loss_scale"] = scale.value
            finished = step + 1
            metrics |= heldout.measure(finished, last=finished == n_steps)
            if snapshot is not None and config.snapshot_steps and finished % config.snapshot_steps == 0:
                snapshot(folder / SNAPSHOTS_FOLDER / str(finished))
            log.write(step=step, **metrics)
            saved.step = finished
            on_progress(Progress(finished, n_steps, metrics))
            last = finished == n_steps or heldout.out_of_patience
            if not last and (stop or time.monotonic() - saved_at >= config.checkpoint_seconds):
                log.sync()
                save_state(
                    folder,
                    model=model,
                    optimizer=optimizer,
                    step=finished,
                    identity=identity,
                    facts=heldout.facts | scale.facts,
                )
                saved.state, saved_at = step + 1, time.monotonic()
            if stop and not last:
                raise Interrupted(f"stopped after step {step + 1} of {n_steps}, which is saved")
            if last:
                break
    best, said = heldout.end(finished, n_steps)
    for sentence in said:
        on_notice(sentence)
    model.eval()
    return TrainingReport(finished, metrics | best)


class Pull:
    """Draws the trainable parameters to where they started, as L2-SP does (Li 2018, arXiv:1802.01483, equation 2).

    The penalty's gradient is taken past AdamW's moments, as its weight decay is: θ ← θ − rate · strength · (θ − θ₀).
    """

    def __init__(self, model: nn.Module, strength: float) -> None:
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.starts = [(parameter, parameter.detach().clone()) for parameter in trainable]
        self.strength = strength

    @torch.no_grad()
    def __call__(self, rate: float) -> None:
        """Take one step at a learning rate."""
        for parameter, start in self.starts:
            parameter.lerp_(start, min(1.0, rate * self.strength))


@contextmanager
def dropout(model: nn.Module, config: TrainingConfig) -> Iterator[None]:
    """Within the block the model's decoders drop what the settings say, in training mode."""
    decoders = [module for module in model.modules() if isinstance(module, Decoder)]
    try:
        for decoder in decoders:
            decoder.set_dropout(Dropout(config.attention_dropout, config.residual_dropout, config.embedding_dropout))
        yield
    finally:
        for decoder in decoders:
            decoder.set_dropout(Dropout())


@dataclass
class Saved:
    """How far a training is, and how far its saved state."""

    state: int
    n_steps: int
    step: int = 0

    @contextmanager
    def named_when_stopped(self) -> Iterator[None]:
        """Make a stop in the middle of a step say which steps have to be done again."""
        self.step = self.state
        try:
            yield
        except Interrupted:
            raise
        except KeyboardInterrupt:
            lost = self.step - self.state
            which = {0: "none of them is", 1: "the last of them is"}.get(lost, f"the last {lost} of them are")
            raise Interrupted(f"stopped at once, after {self.step} of {self.n_steps} steps; {which} lost") from None


def _accumulate(
    outputs: Callable[[Batch], Outputs], objective: Objective[Outputs], batches: Sequence[Batch], scale: float
) -> list[dict[str, Metric]]:
    """Add the gradient of a step's batches, times `scale`, to the parameters; returns the metrics of each."""
    counts = step_counts(objective, batches)
    metrics = []
    for batch in batches:
        measured = objective(outputs(batch), batch)
        loss = loss_of(measured[0], counts)
        (loss if scale == 1 else loss * scale).backward()
        metrics.append(batch_metrics(objective, measured, batch))
    return metrics


def _adamw(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov 2019, arXiv:1711.05101); weight decay on matrices only, as norms have a scale to keep."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.eps,
        fused=trainable[0].device.type in ("cpu", "cuda"),
    )


def _step_seed(seed: int, step: int) -> int:
    """A 63-bit seed for the step, a counter-based function of (seed, step)."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
