"""How much an answer repeats itself (Welleck 2020, arXiv:1908.04319, section 6: seq-rep-n)."""

from collections.abc import Hashable, Sequence


def repeated_ngrams(tokens: Sequence[Hashable], n: int = 4) -> float:
    """The share of a text's n-grams that have been there before: 1 - different / all; 0 where it has none."""
    grams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
