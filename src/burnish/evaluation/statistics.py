"""Confidence intervals by the percentile bootstrap (Efron 1979; Efron & Tibshirani 1993, section 13.3), and the paired
permutation test: how probable a difference is by chance alone.

Nothing is assumed about the distribution of the scores except that the tasks were drawn independently. One
limit to know: scores that are all equal resample to themselves, so 0 right of 300 gives the interval [0, 0].
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[float] | Sequence[bool] | NDArray[np.generic]

MIN_TEXTS = 5
"""Texts, or questions, that an interval of a difference can be drawn from: of fewer there are too few draws."""
DRAWS_AT_ONCE = 1 << 22
"""Indices drawn together: 32 MiB, whatever the number of scores and resamples."""


def bootstrap_interval(values: Scores, *, level: float = 0.95, resamples: int = 2000, seed: int) -> tuple[float, float]:
    """Interval of the mean of `values` `[n]` at confidence `level`.

    The same seed gives the same interval. Raises ValueError when there are no values, when one is not finite
    or when `level` is not between 0 and 1.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"values must be a flat sequence of at least one number, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"values must be finite, got {scores[~np.isfinite(scores)][0]}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    means = np.concatenate([scores[draws].mean(axis=1) for draws in _draws(len(scores), resamples, seed)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap_interval(
    before: Scores, after: Scores, *, level: float = 0.95, resamples: int = 2000, seed: int
) -> tuple[float, float]:
    """Interval of mean(after) - mean(before), where both scored the same tasks in the same order `[n]`.

    Resampling tasks, not scores, cancels the difficulty that the two share: the interval is much narrower
    than the difference of two separate intervals suggests (Koehn 2004, https://aclanthology.org/W04-3250).
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired scores must have one shape, got {first.shape} and {second.shape}")
    return bootstrap_interval(second - first, level=level, resamples=resamples, seed=seed)


def perplexity_change_interval(
    before: Sequence[tuple[float, int]],
    after: Sequence[tuple[float, int]],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int,
) -> tuple[float, float] | None:
    """Interval of the relative change of a perplexity, where both models read the same texts in the same order.

    before, after: of each text the negative log-probability in nats and the tokens scored. Texts are resampled, each
    with both models' values, so that how hard a text is cancels out; as tokens weigh equally, a text weighs as many as
    it has. None where fewer than `MIN_TEXTS` can be resampled: they would tell of themselves only. 0.1 is 10 % more
    perplexity. Raises ValueError when the texts are not the same.
    """
    if [tokens for _, tokens in before] != [tokens for _, tokens in after]:
        raise ValueError("the two models did not score the same texts")
    scored = [(two - one, tokens) for (one, tokens), (two, _) in zip(before, after, strict=True) if tokens]
    if len(scored) < MIN_TEXTS:
        return None
    differences, weights = (np.asarray(column, dtype=np.float64) for column in zip(*scored, strict=True))
    logs = np.concatenate(
        [differences[draws].sum(axis=1) / weights[draws].sum(axis=1) for draws in _draws(len(scored), resamples, seed)]
    )
    low, high = np.expm1(np.quantile(logs, [(1 - level) / 2, (1 + level) / 2]))
    return float(low), float(high)


def paired_permutation_test(before: Scores, after: Scores, *, permutations: int = 10_000, seed: int) -> float:
    """How probable a difference of means at least as large is, either way, if both models were equally good.

    Then it is chance which of two scores of a task `[n]` is whose: each difference may as well have the other sign
    (Fisher 1935; Dror 2018, https://aclanthology.org/P18-1128). Where the differing tasks have at most `permutations`
    such signs all of them are tried and the result is exact; else that many are drawn, and the observed ones count as
    one more, so that no p-value is 0 (Phipson & Smyth 2010, arXiv:1603.05766). The same seed gives the same result.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"paired scores must be flat, of one length and at least one, got {first.shape}, {second.shape}"
        )
    differences = second - first
    if not np.isfinite(differences).all():
        raise ValueError("scores must be finite")
    differences = differences[differences != 0]
    n = len(differences)
    if not n:
        return 1.0
    observed = abs(differences.sum())
    # Equal sums, added up in another order, differ in their last bits.
    limit = observed - 1e-9 * np.abs(differences).sum()
    if 2**n <= permutations:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ differences) >= limit).mean())
    generator = np.random.default_rng(seed)
    rows = max(1, DRAWS_AT_ONCE // n)
    as_large = 0
    for start in range(0, permutations, rows):
        signs = 1 - 2 * generator.integers(2, size=(min(rows, permutations - start), n))
        as_large += int((np.abs(signs @ differences) >= limit).sum())
    return (as_large + 1) / (permutations + 1)


def _draws(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Numbers below `count`, drawn with replacement `[rows, count]`, until `resamples` rows were given."""
    generator = np.random.default_rng(seed)
    rows = max(1, DRAWS_AT_ONCE // count)
    for start in range(0, resamples, rows):
        yield generator.integers(count, size=(min(rows, resamples - start), count))
