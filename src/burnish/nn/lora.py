"""Low-rank adapters (Hu 2021, arXiv:2106.09685): `y = x Wᵀ + (alpha / rank) · dropout(x) Aᵀ Bᵀ`, W frozen."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear

TARGETS = ("q", "k", "v", "o", "gate", "up", "down")


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
        unknown = sorted(set(self.targets) - set(TARGETS))
        if unknown or not self.targets:
            raise ValueError(f"targets must be some of {', '.join(TARGETS)}; got {self.targets}")


class LoraLinear(Linear):
    """A frozen `Linear` with a trainable low-rank term: `lora_a` `[rank, in]`, `lora_b` `[out, rank]`."""

    def __init__(self, base: Linear, config: LoraConfig) -> None:
        super(Linear, self).__init__()
        self.weight = base.weight
        self.weight.requires_grad_(False)
        self.compute_dtype = base.compute_dtype
        self._cast = None
        self.config = config
        device = base.weight.device
        self.lora_a = nn.Parameter(torch.zeros(config.rank, base.in_features, device=device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, config.rank, device=device))

    @property
    def scale(self) -> float:
        return self.config.alpha / self.config.rank

    def forward(self, x: Tensor) -> Tensor:
        low = F.dropout(x, self.config.dropout, self.training).to(self.compute_dtype)
        low = F.linear(low, self.lora_a.to(self.compute_dtype))
        return super().forward(x) + F.linear(low, self.scale * self.lora_b.to(self.compute_dtype))

    @torch.no_grad()
    def merged(self) -> Linear:
        """A plain `Linear` whose weight is `W + (alpha / rank) B A`."""
        linear = Linear(self.in_features, self.out_features, compute_dtype=self.compute_dtype)
        linear.weight = nn.Parameter(self.weight + self.scale * (self.lora_b @ self.lora_a))
        return linear


def add_lora(decoder: Decoder, config: LoraConfig, *, seed: int) -> None:
    """Give every target projection of the blocks an adapter and freeze everything else, in place.

    A is drawn uniformly as in PEFT (Kaiming with a = √5), B is zero: the model's output is unchanged at first.
    """
    decoder.requires_grad_(False)
    generator = torch.Generator(decoder.device).manual_seed(seed)
    for parent, name, linear in _projections(decoder):
        if name in config.targets and type(linear) is Linear:
            adapted = LoraLinear(linear, config)
            bound = linear.in_features**-0.5
            nn.init.uniform_(adapted.lora_a, -bound, bound, generator=generator)
            setattr(parent, name, adapted)


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
