"""What norms cost: each alone, and as the difference that it makes to a whole step of training.

The difference, not a profile: a profiler's own cost falls on every operation, most on the small ones that norms are
made of, and their backward is spread over the graph. All variants take turns, so that whatever else the machine does
meets each of them; what is shown are medians, of differences within a turn where two variants are compared.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.lab.report import Cell, Table
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.linear import WeightNormLinear
from burnish.nn.norm import BatchNorm, LayerNorm, RMSNorm
from burnish.report.formatting import MINUS

Times = dict[str, list[float]]
"""Seconds of every turn by variant."""

PUBLISHED_SAVINGS = (0.07, 0.64)
"""RMSNorm's over LayerNorm in the running time of whole models (Zhang and Sennrich 2019, abstract)."""

_LAYER, _RMS, _NONE = "LayerNorm", "RMSNorm", "no norm"
_BY_OPERATION = ("LayerNorm, operation by operation", "RMSNorm, operation by operation")


@dataclass(frozen=True, kw_only=True)
class TimedStep:
    """A decoder and the batch of a step: `batch_size` sequences of `sequence_length` tokens."""

    d_model: int
    n_layers: int
    batch_size: int
    sequence_length: int

    @property
    def tokens(self) -> int:
        return self.batch_size * self.sequence_length


class OperationwiseLayerNorm(LayerNorm):
    """LayerNorm as frameworks without a fused kernel ran it, those of 2019 among them."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + self.eps).sqrt()
        y = centred / deviation * self.weight
        return y if self.bias is None else y + self.bias


class OperationwiseRMSNorm(RMSNorm):
    """RMSNorm likewise, differentiated by autograd."""

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.weight


def taking_turns(actions: Mapping[str, Callable[[], None]], *, seconds: float, least: int = 5) -> Times:
    """Seconds of each action in each turn, after one that warms up; every turn starts with another action."""
    for action in actions.values():
        action()
    times: Times = {name: [] for name in actions}
    names = list(actions)
    started = time.perf_counter()
    for turn in range(10_000):
        if turn >= least and time.perf_counter() - started > seconds:
            break
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            begun = time.perf_counter()
            actions[name]()
            times[name].append(time.perf_counter() - begun)
    return times


def norms(width: int) -> dict[str, nn.Module]:
    """Every norm of activations over `width` features, in training."""
    return {
        _LAYER: LayerNorm(width, eps=1e-5),
        _RMS: RMSNorm(width, eps=1e-5),
        "BatchNorm": BatchNorm(width, eps=1e-5),
        _BY_OPERATION[0]: OperationwiseLayerNorm(width, eps=1e-5),
        _BY_OPERATION[1]: OperationwiseRMSNorm(width, eps=1e-5),
    }


def time_alone(width: int, tokens: int, *, seconds: float) -> Times:
    """Forward (`<norm>/forward`) and forward with backward (`<norm>/both`) of one norm over `[tokens, width]`.

    WeightNorm has no activations to normalize: what is timed is the reparameterization of the matrices of a block,
    `12 width²` weights, halved, since a pre-norm block has two norms.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, width, generator=generator).requires_grad_()
    grad = torch.randn(tokens, width, generator=generator)
    actions: dict[str, Callable[[], None]] = {}
    for name, norm in norms(width).items():
        actions |= _passes(name, lambda norm=norm: norm(x), [x, *norm.parameters()], grad)  # type: ignore[misc]
    linear = WeightNormLinear(width, 6 * width)
    with torch.no_grad():
        linear.weight.normal_(generator=generator)
    actions |= _passes("WeightNorm", linear._matrix, [linear.weight, linear.gain], torch.ones_like(linear.weight))
    return taking_turns(actions, seconds=seconds)


def _passes(
    name: str, forward: Callable[[], Tensor], inputs: Sequence[Tensor], grad: Tensor
) -> dict[str, Callable[[], None]]:
    def both() -> None:
        torch.autograd.grad(forward(), inputs, grad)

    def forward_only() -> None:
        forward()

    return {f"{name}/forward": forward_only, f"{name}/both": both}


def time_steps(config: DecoderConfig, step: TimedStep, *, seconds: float) -> Times:
    """Seconds of a whole step of pre-norm training (forward, backward, clipping, AdamW) with each norm and none.

    The learning rate is zero: the steps stay alike, and without a norm nothing grows.
    """
    tokens = torch.randint(config.vocab_size, (step.tokens,), generator=torch.Generator().manual_seed(0))
    forest = Forest(tokens, (step.sequence_length,) * step.batch_size, (-1,) * step.batch_size)
    scored = (forest.predecessors >= 0).nonzero().squeeze(-1)
    decoders = {
        _LAYER: Decoder(replace(config, norm="layer")),
        _RMS: Decoder(replace(config, norm="rms")),
        "BatchNorm": Decoder(replace(config, norm="batch")),
        "WeightNorm": Decoder(replace(config, norm="weight")),
        _BY_OPERATION[0]: _with_norms(Decoder(replace(config, norm="layer")), OperationwiseLayerNorm),
        _BY_OPERATION[1]: _with_norms(Decoder(replace(config, norm="rms")), OperationwiseRMSNorm),
        _NONE: Decoder(replace(config, norm="none")),
    }
    return taking_turns(
        {name: _training_step(decoder, forest, scored) for name, decoder in decoders.items()}, seconds=seconds
    )


def _with_norms(decoder: Decoder, kind: type[LayerNorm] | type[RMSNorm]) -> Decoder:
    """The same decoder with another class of norm in the place of each."""
    for module in list(decoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LayerNorm | RMSNorm):
                setattr(module, name, kind(child.weight.shape[0], eps=child.eps))
    return decoder


def _training_step(decoder: Decoder, forest: Forest, scored: Tensor) -> Callable[[], None]:
    decoder.train()
    parameters = list(decoder.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=0.0, fused=True)

    def step() -> None:
        (-decoder.logps(forest, scored).mean()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def alone_table(times: Mapping[int, Times], tokens: int) -> Table:
    """times: by width."""
    rows: list[list[Cell]] = []
    for width, measured in times.items():
        whole_layer = statistics.median(measured[f"{_LAYER}/both"])
        for name in (key.removesuffix("/both") for key in measured if key.endswith("/both")):
            forward, both = (statistics.median(measured[f"{name}/{part}"]) for part in ("forward", "both"))
            rows.append([name, width, forward * 1e6, (both - forward) * 1e6, both * 1e6, both / whole_layer])
    turns = min(len(values) for measured in times.values() for values in measured.values())
    return Table(
        "Time of one norm alone",
        ["", "width", "forward, µs", "backward, µs", "both, µs", "relative to LayerNorm"],
        rows,
        f"{tokens:,} tokens, float32, medians of at least {turns} turns. Backward is both less forward. WeightNorm "
        "works on weights, not on tokens: half of what it costs a block.",
    )


def step_table(times: Mapping[TimedStep, Times]) -> Table:
    """Whole steps, the norms' share by difference from no norm, and what RMSNorm saves."""
    rows: list[list[Cell]] = []
    for step, measured in times.items():
        size = f"{step.n_layers} layers of {step.d_model}, {step.tokens:,} tokens"
        for name, values in measured.items():
            share = _saving(measured[_NONE], values)
            reference = _BY_OPERATION[0] if name == _BY_OPERATION[1] else _LAYER
            saved = _saving(values, measured[reference])
            rows.append(
                [
                    name,
                    size,
                    statistics.median(values) * 1e3,
                    None if name == _NONE else _percent(share),
                    _percent(saved) if name in (_RMS, _BY_OPERATION[1]) else None,
                ]
            )
    turns = min(len(values) for measured in times.values() for values in measured.values())
    low, high = PUBLISHED_SAVINGS
    return Table(
        "Time of a step of training",
        ["", "decoder and batch", "step, ms", "share of the norms", "saved over LayerNorm"],
        rows,
        f"Pre-norm; forward, backward, clipping and AdamW, medians of at least {turns} turns. The share is the step's "
        "time less that of the step without norms in the same turn. Operation by operation is compared with its like. "
        f"Published savings of RMSNorm over LayerNorm: {low:.0%} to {high:.0%} (Zhang and Sennrich 2019).",
    )


def _saving(faster: Sequence[float], slower: Sequence[float]) -> float:
    """The share of `slower` that `faster` saves, the median over turns."""
    return statistics.median(1 - a / b for a, b in zip(faster, slower, strict=True))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace("-", MINUS)
