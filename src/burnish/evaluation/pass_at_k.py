"""pass@k: how probable it is that one of k answers to a problem is right, estimated from n ≥ k of them.

Chen 2021 (arXiv:2107.03374), equation 1. Of n answers c are right; the share of the subsets of k that hold a right one
is an unbiased estimate of 1 - (1 - p)^k, whatever the probability p of a right answer. The plain 1 - (1 - c/n)^k is
not: it is concave in c/n, so that by Jensen's inequality it says too little, the more so the closer k is to n.
"""


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k): the share of the subsets of k of n answers that hold one of the c right ones.

    As the product 1 - Π (1 - k / i) over i from n - c + 1 to n (Chen 2021, figure 3): binomials of many answers are
    numbers that floats do not hold. Raises ValueError where n < k, since no subset is that large.
    """
    _check(n, c, k)
    if n - c < k:
        return 1.0
    if k == 1:
        return c / n  # as the product, without its roundings
    missed = 1.0
    for i in range(n - c + 1, n + 1):
        missed *= 1 - k / i
    return 1 - missed


def biased_pass_at_k(n: int, c: int, k: int) -> float:
    """1 - (1 - c/n)^k, which underestimates pass@k; here to show by how much, not to report."""
    _check(n, c, k)
    return 1 - (1 - c / n) ** k


def _check(n: int, c: int, k: int) -> None:
    if k < 1:
        raise ValueError(f"pass@k needs k of at least 1, got k = {k}")
    if n < k:
        raise ValueError(f"pass@{k} needs at least k = {k} answers to a problem, got n = {n}: sample more, or lower k")
    if not 0 <= c <= n:
        raise ValueError(f"of n = {n} answers between 0 and {n} can be right, got c = {c}")
