"""Whether a probability is worth its face value: how often what a reward model prefers is what people prefer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Bin:
    """The pairs whose confidence is from `low` to `high`: how many, their mean confidence, and the share in order."""

    low: float
    high: float
    pairs: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """error: the expected calibration error. bins: those that hold pairs, in order."""

    error: float
    bins: tuple[Bin, ...]

    def as_json(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return {"error": self.error, "bins": [asdict(one) for one in self.bins]}


def calibration(margins: Sequence[float], *, n_bins: int = 10) -> Calibration:
    """Compare σ(margin) with the outcome, in bins of equal width.

    margins: reward of the preferred answer less that of the other, at least one. A pair is in order where its margin is
    positive, and half where it is 0; its confidence is σ(|margin|), from 0.5 to 1. The error is the mean over pairs of
    |accuracy - confidence| of their bin (Guo 2017, arXiv:1706.04599, equation 3).
    """
    values = np.asarray(margins, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"margins must be a flat sequence of at least one finite number, got {margins!r}")
    confidence = 1 / (1 + np.exp(-np.abs(values)))
    outcome = np.sign(values) / 2 + 0.5
    edges = np.linspace(0.5, 1, n_bins + 1)
    # A bin has its lower edge; the last has both.
    places = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, n_bins - 1)
    bins = []
    for place in np.unique(places).tolist():
        members = places == place
        bins.append(
            Bin(
                low=round(float(edges[place]), 6),
                high=round(float(edges[place + 1]), 6),
                pairs=int(members.sum()),
                confidence=float(confidence[members].mean()),
                accuracy=float(outcome[members].mean()),
            )
        )
    error = sum(one.pairs * abs(one.accuracy - one.confidence) for one in bins) / len(values)
    return Calibration(error, tuple(bins))
