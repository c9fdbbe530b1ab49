"""How good the answer is that is chosen of N, in the mean over all that could have been sampled: from n ≥ N answers.

Notable choices:
- best-of-N is exact: of all subsets of N answers, the share in which each is the best; equal scores are drawn by lot;
- votes are elections over subsets drawn at random, by the functions that evaluation uses.
"""

from collections.abc import Sequence
from itertools import groupby
from math import comb

import numpy as np

from burnish.rewards.votes import elect_equal

DRAWS = 24
"""Subsets that votes are taken over."""


def best_of(scores: Sequence[float], values: Sequence[float], n: int) -> float:
    """The expected value of the highest-scoring of `n` answers, over all subsets of so many.

    Of equal scores each answer is as likely. Raises ValueError where there are fewer than `n`.
    """
    if not 1 <= n <= len(scores):
        raise ValueError(f"best of {n}: there are {len(scores)} answers")
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    total, before = 0.0, 0
    for _, group in groupby(order, key=lambda place: scores[place]):
        equal = list(group)
        left = len(order) - before
        # The subsets without any of the better ones, less those without these either.
        ways = comb(left, n) - comb(left - len(equal), n)
        total += ways * sum(values[place] for place in equal) / len(equal)
        before += len(equal)
    return total / comb(len(order), n)


def voted(
    said: Sequence[str | None], values: Sequence[float], n: int, *, weights: Sequence[float] | None = None, seed: int
) -> float:
    """The value of the answer that most of `n` give, in the mean over subsets; an answer may weigh more than another.

    said: what each comes to, None where it comes to nothing.
    """
    rng = np.random.default_rng(seed)
    draws = 1 if n == len(said) else DRAWS
    total = 0.0
    for _ in range(draws):
        places = rng.permutation(len(said))[:n].tolist()
        election = elect_equal([said[place] for place in places])
        if weights is not None:
            election = election.weighted([weights[place] for place in places])
        total += values[places[election.winner]]
    return total / draws
