"""What may be said of a difference."""

from burnish.evaluation.statistics import MIN_TEXTS

MAX_P = 0.05
"""Above it, equally good models differ as much too often, whatever an interval of few differing answers says."""


def verdict(
    interval: tuple[float, float] | None,
    *,
    count: int = MIN_TEXTS,
    p: float | None = None,
    lower_is_better: bool = False,
) -> str:
    """Whether a difference is one: better or worse only where its interval excludes no change.

    count: the texts or questions that it is of. p: of the permutation test, where there was one; a bootstrap of few
    differing answers is too sure of itself: four gained and none lost exclude no change, and have p = 0.125.
    """
    if interval is None or count < MIN_TEXTS:
        return "too little to tell"
    low, high = interval
    if not (low > 0 or high < 0) or (p is not None and p > MAX_P):
        return "no clear difference"
    return "better" if (low > 0) != lower_is_better else "worse"
