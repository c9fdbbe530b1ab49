"""Gradients at initialisation against depth, with and without residual connections (Xiong 2020, arXiv:2002.04745)."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from burnish.forest import Forest
from burnish.lab.norm.decoders import PLACEMENTS, drawn, placed
from burnish.lab.report import Cell, Panel, Table
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder

Norms = Mapping[int, Sequence[Sequence[float]]]
"""Gradient norms by depth: for each seed, those of the layers from the first to the last."""


@dataclass(frozen=True)
class GradientVariant:
    """A column of the experiment: the configuration but for its depth, and its name."""

    name: str
    config: DecoderConfig


def gradient_variants(config: DecoderConfig) -> list[GradientVariant]:
    """All placements with residual connections, and those that differ without them."""
    found = [GradientVariant(placement, placed(config, placement, 1)) for placement in PLACEMENTS]
    found.append(GradientVariant("no norm", placed(config, "pre", 1, norm="none")))
    for placement in PLACEMENTS[:2]:  # Without `x +` the others are one of these.
        alone = replace(placed(config, placement, 1), residual=False)
        found.append(GradientVariant(f"{placement}, no residual", alone))
    alone = replace(placed(config, "pre", 1, norm="none"), residual=False)
    return [*found, GradientVariant("no norm, no residual", alone)]


def feed_forward_gradients(decoder: Decoder, forest: Forest) -> list[float]:
    """‖∂L / ∂W²‖_F of each layer, W² the second matrix of its feed-forward and L the mean loss over the forest."""
    scored = (forest.predecessors >= 0).nonzero().squeeze(-1)
    weights = [decoder.get_parameter(f"blocks.{i}.feed_forward.down.weight") for i in range(len(decoder.blocks))]
    loss = -decoder.train().logps(forest, scored).mean()
    return [torch.linalg.vector_norm(grad).item() for grad in torch.autograd.grad(loss, weights)]


def measure_gradients(config: DecoderConfig, forest: Forest, seeds: Sequence[int]) -> list[list[float]]:
    """`feed_forward_gradients` at initialisation, for each seed."""
    return [feed_forward_gradients(drawn(config, seed=seed), forest) for seed in seeds]


def exponent(depths: Sequence[int], values: Sequence[float]) -> float | None:
    """p of the power law `value = c · depth^p` fitted to the logarithms; None where there is none to fit."""
    if len(depths) < 2 or not all(0 < value < math.inf for value in values):
        return None
    return float(np.polyfit(np.log(depths), np.log(values), 1)[0])


def gradient_tables(norms: Mapping[str, Norms]) -> list[Table]:
    """The last layer's gradient by depth and its exponent; how far the first layer's is from it."""
    depths = list(next(iter(norms.values())))
    last: list[list[Cell]] = []
    ratio: list[list[Cell]] = []
    for name, by_depth in norms.items():
        lasts = [statistics.fmean(layers[-1] for layers in by_depth[depth]) for depth in depths]
        ratios = [_mean_ratio([(layers[0], layers[-1]) for layers in by_depth[depth]]) for depth in depths]
        # Without a norm the law is exponential.
        last.append([name, *lasts, None if name.startswith("no norm") else exponent(depths, lasts)])
        ratio.append([name, *ratios])
    seeds = len(next(iter(norms.values()))[depths[0]])
    published: list[Cell] = ["published: pre", *(None for _ in depths), -0.5]
    return [
        Table(
            "Gradient of the last layer's W² at initialisation",
            ["", *(f"L = {depth}" for depth in depths), "exponent"],
            [*last, published, ["published: post", *(None for _ in depths), 0.0]],
            f"Frobenius norm, mean of {seeds} seeds, LayerNorm, Xavier initialisation; W² is the second matrix of the "
            "feed-forward. The exponent p is of the law c · L^p. Published: the bounds of Xiong 2020, theorem 1.",
        ),
        Table(
            "The first layer's gradient over the last layer's",
            ["", *(f"L = {depth}" for depth in depths)],
            ratio,
            "Geometric mean of the seeds. 1: all layers get the same; far below: nothing arrives at the first.",
        ),
    ]


def gradient_panels(norms: Mapping[str, Norms], shown_depth: int) -> list[Panel]:
    """The last layer's gradient by depth; all layers' at one depth, with and without residual connections."""
    # Without a norm they grow so fast that all others would be one line.
    with_residual = {name: by_depth for name, by_depth in norms.items() if name in PLACEMENTS}
    without = {name: by_depth for name, by_depth in norms.items() if "no residual" in name}
    depths = list(next(iter(norms.values())))

    def layers(by_depth: Norms) -> list[tuple[float, float]]:
        return [
            (index + 1, statistics.fmean(values))
            for index, values in enumerate(zip(*by_depth[shown_depth], strict=True))
        ]

    return [
        Panel(
            "Gradient of the last layer's W² at initialisation",
            "layers",
            "Frobenius norm",
            {
                name: [(depth, statistics.fmean(layers[-1] for layers in by_depth[depth])) for depth in depths]
                for name, by_depth in with_residual.items()
            },
            log_x=True,
            log_y=True,
        ),
        *(
            Panel(
                f"Gradient of W² by layer, {shown_depth} layers, {title}",
                "layer",
                "Frobenius norm",
                {name: layers(by_depth) for name, by_depth in chosen.items()},
                log_y=True,
            )
            for title, chosen in (("residuals", with_residual), ("no residuals", without))
        ),
    ]


def _mean_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The geometric mean of first / last; 0 where a first gradient vanished, not a number where a last one did."""
    if any(last == 0 or not math.isfinite(first / last) for first, last in pairs):
        return math.nan
    if any(first == 0 for first, _ in pairs):
        return 0.0
    return statistics.geometric_mean(first / last for first, last in pairs)
