"""Low-rank adapters (Hu 2021, arXiv:2106.09685): `y = x Wᵀ + (alpha / rank) · dropout(x) Aᵀ Bᵀ`, W frozen."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear, WeightNormLinear

TARGETS = ("q", "k", "v", "o", "gate", "up", "down")
"""The projections of a block."""
WHOLE = {("q", "k", "v"): "qkv", ("gate", "up"): "gate_up"}
"""Names of several projections adapted as one matrix, as families that store them as one have it."""


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Rank and scale of the adapters, and the projections that get one."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = TARGETS

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        known = {*TARGETS, *WHOLE.values()}
        unknown = sorted(set(self.targets) - known)
        if unknown or not self.targets:
            raise ValueError(f"targets must be some of {', '.join(sorted(known))}; got {self.targets}")


class LoraLinear(Linear):
    """A frozen `Linear` with a trainable low-rank term for each part that is adapted.

    `lora_a` holds A `[rank, in]` and `lora_b` B `[out, rank]` by the part's name.
    """

    def __init__(self, base: Linear, config: LoraConfig, targets: Sequence[str]) -> None:
        super(Linear, self).__init__()
        self.weight, self.bias, self.parts = base.weight, base.bias, base.parts
        self.weight.requires_grad_(False)
        self.compute_dtype = base.compute_dtype
        self._cast, self._packed = None, None
        self.config = config
        self.enabled = True
        device = base.weight.device
        widths = {name: rows.stop - rows.start for name, rows in adaptable(base).items() if name in targets}
        self.lora_a = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(config.rank, base.in_features, device=device)) for name in widths}
        )
        self.lora_b = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(width, config.rank, device=device)) for name, width in widths.items()}
        )

    @property
    def scale(self) -> float:
        return self.config.alpha / self.config.rank

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if not self.enabled:
            return y
        terms, filled = [], 0
        # In the order of the rows: a ParameterDict sorts its names.
        for name, rows in adaptable(self).items():
            if name not in self.lora_a:
                continue
            a = self.lora_a[name]
            low = F.dropout(x, self.config.dropout, self.training).to(self.compute_dtype)
            low = F.linear(low, a.to(self.compute_dtype))
            term = F.linear(low, self.scale * self.lora_b[name].to(self.compute_dtype))
            if rows == slice(0, self.out_features):
                y = y + term
                continue
            terms += [y.new_zeros(len(y), rows.start - filled), term]
            filled = rows.stop
        if terms:
            y = y + torch.cat([*terms, y.new_zeros(len(y), self.out_features - filled)], dim=-1)
        return y

    def rows(self, start: int, stop: int, x: Tensor) -> Tensor:
        """As `Linear.rows`, adapters included."""
        return self(x)[..., start:stop]

    def pack(self, rows: int) -> None:
        """Nothing: the adapters are added to a product that would no longer be the packed one."""

    @torch.no_grad()
    def merged(self) -> Linear:
        """A plain `Linear` whose weight is `W + (alpha / rank) B A`, part by part."""
        linear = Linear(self.in_features, self.out_features, compute_dtype=self.compute_dtype)
        linear.weight, linear.bias, linear.parts = nn.Parameter(self.weight.clone()), self.bias, self.parts
        for name, a in self.lora_a.items():
            linear.weight[adaptable(self)[name]] += self.scale * (self.lora_b[name] @ a)
        return linear


def adaptable(linear: Linear) -> dict[str, slice]:
    """What an adapter of `linear` may cover: each part, and where there are several, all of them as one matrix."""
    if len(linear.parts) == 1:
        return dict(linear.parts)
    return {**linear.parts, WHOLE[tuple(linear.parts)]: slice(0, linear.out_features)}


def add_lora(decoder: Decoder, config: LoraConfig, *, seed: int) -> None:
    """Give every target projection of the blocks an adapter and freeze everything else, in place.

    A is drawn uniformly as in PEFT (Kaiming with a = √5), B is zero: the model's output is unchanged at first.
    Raises ValueError for projections that are reparameterized by WeightNorm.
    """
    names = _names(decoder)
    targets = {
        names[linear]: [target for target in config.targets if target in adaptable(linear)]
        for *_, linear in _projections(decoder)
        if not isinstance(linear, LoraLinear)
    }
    adapt(decoder, config, targets)
    generator = torch.Generator(decoder.device).manual_seed(seed)
    for name in targets:
        if isinstance(adapted := decoder.get_submodule(name), LoraLinear):
            bound = adapted.in_features**-0.5
            for a in adapted.lora_a.values():
                nn.init.uniform_(a, -bound, bound, generator=generator)


def adapt(decoder: Decoder, config: LoraConfig, targets: Mapping[str, Sequence[str]]) -> None:
    """Give projections adapters of zeros and freeze everything else, in place.

    targets: what is adapted of each projection, by its name in the decoder; one with nothing stays as it is.
    Raises ValueError for projections that are reparameterized by WeightNorm.
    """
    decoder.requires_grad_(False)
    names = _names(decoder)
    for parent, name, linear in _projections(decoder):
        if not targets.get(names[linear]) or isinstance(linear, LoraLinear):
            continue
        if isinstance(linear, WeightNormLinear):
            raise ValueError("low-rank adapters cannot be added to weight-normalized projections")
        setattr(parent, name, LoraLinear(linear, config, targets[names[linear]]))


@contextmanager
def adapters_disabled(decoder: Decoder) -> Iterator[None]:
    """Within the block the decoder computes as its base does: a frozen reference that needs no memory of its own."""
    adapted = [linear for _, _, linear in _projections(decoder) if isinstance(linear, LoraLinear)]
    for linear in adapted:
        linear.enabled = False
    try:
        yield
    finally:
        for linear in adapted:
            linear.enabled = True


def merge_lora(decoder: Decoder) -> None:
    """Fold every adapter into its projection and make all parameters trainable again, in place."""
    for parent, name, linear in _projections(decoder):
        if isinstance(linear, LoraLinear):
            setattr(parent, name, linear.merged())
    decoder.requires_grad_(True)


def lora_config(decoder: Decoder) -> LoraConfig | None:
    """The configuration of the decoder's adapters, or None where it has none."""
    return next((linear.config for _, _, linear in _projections(decoder) if isinstance(linear, LoraLinear)), None)


def _projections(decoder: Decoder) -> list[tuple[nn.Module, str, Linear]]:
    """The blocks' projections as (parent module, attribute, projection), in a fixed order."""
    return [
        (parent, name, child)
        for parent in decoder.blocks.modules()
        for name, child in parent.named_children()
        if isinstance(child, Linear)
    ]


def _names(decoder: Decoder) -> dict[nn.Module, str]:
    return {module: name for name, module in decoder.named_modules()}
