"""Which passages come first: of one ranking, and of several taken together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RRF_K = 60
"""What Cormack 2009 found best on TREC's collections, and everybody has used since."""


def best(scores: NDArray[np.float32], k: int, *, above: float = -np.inf) -> list[int]:
    """The `k` largest of `scores` `[n]` that are above a bound, the largest first; of equal ones the earlier first."""
    kept = np.flatnonzero(scores > above)
    if len(kept) > k:
        threshold = np.partition(scores[kept], len(kept) - k)[len(kept) - k]
        kept = kept[scores[kept] >= threshold]
    return kept[np.argsort(-scores[kept], kind="stable")][:k].tolist()


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], *, k: int = RRF_K) -> dict[int, float]:
    """The score of each item that is in a ranking: Σ 1 / (k + rank), ranks from 1 (Cormack 2009, SIGIR, section 2)."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + rank)
    return scores
