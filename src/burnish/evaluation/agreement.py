"""Do judges or annotators agree: Cohen's kappa (1960), agreement beyond what chance alone would give.

With p the share of items that two give the same label, and e the share that they would by chance, each with its own
frequencies of labels: kappa = (p - e) / (1 - e). 1 is perfect, 0 is chance, below 0 is worse than chance. Landis and
Koch (1977) call 0.41 to 0.60 moderate, 0.61 to 0.80 substantial; a high p with a low kappa means that one label is
nearly all there is.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two who label the same items. kappa: None where both always give one and the same label."""

    items: int
    observed: float
    expected: float
    kappa: float | None
    low: float | None = None
    high: float | None = None


def agreement(
    first: Sequence[Hashable], second: Sequence[Hashable], *, resamples: int = 1000, seed: int = 0
) -> Agreement:
    """Cohen's kappa of two lists of labels of the same items `[n]`, with its 95 % bootstrap interval over items.

    Raises ValueError for lists of different length, or without items.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"expected labels of the same items, at least one; got {len(first)} and {len(second)}")
    numbers = {label: number for number, label in enumerate(dict.fromkeys([*first, *second]))}
    table = np.array([[numbers[a], numbers[b]] for a, b in zip(first, second, strict=True)])
    observed, expected = _shares(table, len(numbers))
    random = np.random.default_rng(seed)
    found = [
        _kappa(*_shares(table[random.integers(0, len(table), len(table))], len(numbers))) for _ in range(resamples)
    ]
    known = [kappa for kappa in found if kappa is not None]
    low, high = (float(edge) for edge in np.quantile(known, [0.025, 0.975])) if known else (None, None)
    return Agreement(len(first), observed, expected, _kappa(observed, expected), low, high)


def _shares(table: "np.ndarray[tuple[int, int], np.dtype[np.int64]]", n_labels: int) -> tuple[float, float]:
    a, b = (np.bincount(table[:, side], minlength=n_labels) / len(table) for side in (0, 1))
    return float((table[:, 0] == table[:, 1]).mean()), float(a @ b)


def _kappa(observed: float, expected: float) -> float | None:
    return None if expected >= 1 else (observed - expected) / (1 - expected)


def preferred(scores: Sequence[float | None]) -> dict[tuple[int, int], str]:
    """Which of each two answers somebody prefers who scores them, `first`, `second` or `tie`; None is no score."""
    known = [place for place, score in enumerate(scores) if score is not None]
    return {(i, j): _sign(scores[i], scores[j]) for i, j in combinations(known, 2)}


def _sign(first: float | None, second: float | None) -> str:
    assert first is not None
    assert second is not None
    return "tie" if first == second else "first" if first > second else "second"


def pairwise_agreement(by_judge: Mapping[str, Sequence[Sequence[float | None]]]) -> dict[str, Agreement]:
    """For each two judges, agreement about which of two answers to one prompt is the better.

    by_judge: for each judge, for each prompt, the scores of its answers.
    """
    found = {}
    for one, other in combinations(by_judge, 2):
        labels: list[tuple[str, str]] = []
        for mine, theirs in zip(by_judge[one], by_judge[other], strict=True):
            first, second = preferred(mine), preferred(theirs)
            labels += [(first[pair], second[pair]) for pair in first.keys() & second.keys()]
        if labels:
            found[f"{one}, {other}"] = agreement(*zip(*sorted(labels), strict=True))
    return found
