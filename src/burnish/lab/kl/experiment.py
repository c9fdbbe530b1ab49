"""`burnish lab kl`: what k1, k2 and k3 say about a KL divergence, and where each of them pulls a policy.

Notable choices:
- the divergences are known: two normal distributions, and a small softmax policy whose tokens can all be summed over;
- a policy is a function from parameters and outcomes to log-probabilities, so every figure, expectations and gradients
  alike, comes from `burnish.objectives.kl.kl_estimate` itself;
- expectations are taken twice: exactly (quadrature, or the sum over all tokens) and by Monte Carlo.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from burnish.lab.experiment import Findings
from burnish.lab.kl.policies import (
    USES,
    VOCABULARY,
    exact,
    normal,
    sampled,
    softmax,
    standard_normal,
    tokens,
    true_gradients,
)
from burnish.lab.notebook import Notebook
from burnish.lab.report import Cell, Panel, Table
from burnish.objectives.kl import ESTIMATORS, Estimator
from burnish.report.formatting import MINUS, percent
from burnish.runs.progress import Reporter

MEANS = (0.1, 0.5, 1.0)
"""μ of p = N(μ, 1): KL(q ∥ p) = μ² / 2 = 0.005, 0.125 and 0.5."""
PUBLISHED: dict[Estimator, dict[float, tuple[float, float]]] = {
    "k1": {0.1: (0.0, 0.1), 0.5: (0.0, 0.5), 1.0: (0.0, 1.0)},
    "k2": {0.1: (0.0024, 0.0071), 0.5: (0.0625, 0.1875), 1.0: (0.25, 0.866)},
    "k3": {0.1: (0.0, 0.0071), 0.5: (0.0, 0.1845), 1.0: (0.0, 0.8478)},
}
"""Relative bias, and standard deviation in nats, as reproductions of Schulman 2020 print them; he himself gives
deviations in units of the true KL, for μ = 0.1 (20, 1.42, 1.42) and 1 (2, 1.73, 1.7). All were sampled: two of these
differ from the closed forms in the last digit."""
DIVERGENCES = ("KL(π ∥ π_ref)", "KL(π_ref ∥ π)")

SAMPLES = 1 << 22

Curve = Sequence[tuple[float, float]]
"""Points of a plot, by the true KL."""

_ZERO = 1e-9
"""What is smaller is rounding."""
_SHIFTS = (0.1, 0.5, 1.0)
"""Standard deviations of what the softmax policy's logits have moved by from the reference's."""
_PLOTTED = np.geomspace(0.05, 2.0, 20)


def closed_form(estimator: Estimator, mean: float) -> tuple[float, float]:
    """Relative bias and standard deviation in nats over q = N(0, 1) and p = N(mean, 1), where log r ~ N(-μ²/2, μ²)."""
    square = mean**2
    return {
        "k1": (0.0, mean),
        "k2": (square / 4, math.sqrt(2 * square**2 + square**3) / 2),
        "k3": (0.0, math.sqrt(math.expm1(square) - square)),
    }[estimator]


@dataclass(frozen=True, kw_only=True)
class KlExperiment:
    """Compute everything. samples: of each Monte Carlo estimate."""

    name: ClassVar[str] = "kl"
    seed: int
    samples: int = SAMPLES

    def settings(self) -> dict[str, Any]:
        return {"command": "burnish lab kl", "samples": self.samples}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        return Findings(
            [
                estimates_table(self.samples, seed=self.seed),
                normal_table(self.samples // 8, seed=self.seed),
                softmax_table(self.samples // 8, seed=self.seed),
            ],
            panels(),
        )


def estimates_table(samples: int, *, seed: int) -> Table:
    """The published table beside closed forms and Monte Carlo."""
    rows: list[list[Cell]] = []
    for mean in MEANS:
        setting, kl = normal(mean), mean**2 / 2
        for estimator in ESTIMATORS:
            measured = sampled(
                standard_normal(seed), partial(setting.estimates, estimator, setting.parameters), samples
            )
            published, closed = PUBLISHED[estimator][mean], closed_form(estimator, mean)
            biases = (published[0], closed[0], measured.mean.item() / kl - 1)
            deviations = (published[1], closed[1], measured.deviation.item(), closed[1] / kl)
            rows.append([f"{kl:g}", estimator, *(_signed(value) for value in biases), *deviations])
    columns = ["bias, published", "closed form", "measured"]
    columns += ["deviation, published", "closed form ", "measured ", "closed form / true KL"]
    return Table(
        "Estimates of KL(q ∥ p), q = N(0, 1), p = N(μ, 1)",
        ["true KL", "", *columns],
        rows,
        "The bias is relative to the true KL, the standard deviation that of one sample, in nats. Measured over "
        f"{samples:,} samples, whose mean of k1 is itself only within {_largest_error(samples)} of 0.005.",
    )


def _largest_error(samples: int) -> str:
    """The standard error of the noisiest mean of the table."""
    return percent(closed_form("k1", MEANS[0])[1] / (MEANS[0] ** 2 / 2) / samples**0.5)


def normal_table(samples: int, *, seed: int) -> Table:
    """Gradients by the policy's mean and log-deviation, where the two divergences pull differently."""
    rows: list[list[Cell]] = []
    for mean in MEANS:
        setting, kl = normal(mean), f"{mean**2 / 2:g}"
        for name, gradient in zip(DIVERGENCES, true_gradients(setting), strict=True):
            rows.append([kl, f"∇ {name}", "", *(cell for value in _rounded(gradient) for cell in (value, None, None))])
        for estimator in ESTIMATORS:
            for use in USES:
                values = partial(setting.gradients, estimator, use)
                expected, measured = exact(setting, values), sampled(standard_normal(seed), values, samples)
                parts = torch.stack([expected.mean, measured.mean, expected.deviation], dim=1)
                rows.append([kl, estimator, use, *_rounded(parts.flatten())])
    return Table(
        "Gradients of a normal policy π = N(0, 1) beside π_ref = N(μ, 1)",
        ["true KL", "", "used", "by the mean", "measured", "deviation", "by log σ", "measured ", "deviation "],
        rows,
        f"Expectations by quadrature; measured over {samples:,} samples; the deviation is that of one sample. "
        "By the mean alone the two divergences cannot be told apart.",
    )


def softmax_table(samples: int, *, seed: int) -> Table:
    """The gradients by all logits of a next-token distribution, as distances from the true ones."""
    rows: list[list[Cell]] = []
    for shift in _SHIFTS:
        setting = softmax(shift, seed=seed)
        kl = exact(setting, partial(setting.estimates, "k1", setting.parameters)).mean.item()
        wanted, other = true_gradients(setting)
        for estimator in ESTIMATORS:
            for use in USES:
                values = setting.gradients(estimator, use, setting.outcomes).__getitem__
                expected, measured = exact(setting, values), sampled(tokens(setting, seed), values, samples)
                distances = [expected.mean - wanted, measured.mean - wanted, expected.mean - other, expected.deviation]
                cells = torch.stack([vector.norm() / wanted.norm() for vector in distances])
                rows.append([kl, estimator, use, *_rounded(cells)])
    return Table(
        f"Gradients of a softmax policy over {VOCABULARY} tokens",
        ["true KL", "", "used", f"from ∇ {DIVERGENCES[0]}", "measured", f"from ∇ {DIVERGENCES[1]}", "deviation"],
        rows,
        f"Euclidean distances of the expected gradient, in lengths of ∇ {DIVERGENCES[0]}; measured over {samples:,} "
        "samples; the deviation is that of one sample, in the same unit.",
    )


def _signed(share: float) -> str:
    return percent(share, 2).replace("-", MINUS)


def _rounded(values: Tensor) -> list[float]:
    """Without what is only rounding of zero."""
    return values.where(values.abs() > _ZERO, 0.0).tolist()


def panels() -> list[Panel]:
    """Noise, bias and gradients by distance, all exact."""
    settings = {float(mean): normal(float(mean)) for mean in _PLOTTED}
    unit = "true KL, nats"

    def noise(estimator: Estimator) -> Curve:
        return [(mean**2 / 2, closed_form(estimator, mean)[1] / (mean**2 / 2)) for mean in settings]

    def bias(estimator: Estimator) -> Curve:
        return [(mean**2 / 2, closed_form(estimator, mean)[0]) for mean in settings]

    def gradient(estimator: Estimator, use: str, place: int) -> Curve:
        moments = [exact(setting, partial(setting.gradients, estimator, use)) for setting in settings.values()]
        return [(mean**2 / 2, moment.mean[place].item()) for mean, moment in zip(settings, moments, strict=True)]

    def truth(place: int) -> Curve:
        return [(mean**2 / 2, true_gradients(setting)[0][place].item()) for mean, setting in settings.items()]

    def gradients(title: str, use: str, place: int) -> Panel:
        series: dict[str, Curve] = {f"∇ {DIVERGENCES[0]}": truth(place)}
        series |= {estimator: gradient(estimator, use, place) for estimator in ESTIMATORS}
        return Panel(title, unit, "expected gradient", series, log_x=True)

    return [
        Panel(
            "Noise of one sample",
            unit,
            "standard deviation / true KL",
            {estimator: noise(estimator) for estimator in ESTIMATORS},
            log_x=True,
            log_y=True,
        ),
        Panel("Bias", unit, "bias / true KL", {estimator: bias(estimator) for estimator in ESTIMATORS}, log_x=True),
        gradients("As a loss term: gradient by log σ", "loss term", 1),
        gradients("In the reward: gradient by the mean", "in the reward", 0),
    ]
