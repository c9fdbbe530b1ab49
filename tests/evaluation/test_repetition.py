"""Repeated n-grams against their definition."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from burnish.evaluation.repetition import repeated_ngrams


def test_by_hand() -> None:
    assert repeated_ngrams([1, 2, 3, 4]) == 0
    assert repeated_ngrams([1, 2, 3]) == 0
    assert repeated_ngrams([]) == 0
    assert repeated_ngrams([7] * 13) == 0.9
    assert repeated_ngrams([1, 2] * 3, n=2) == 1 - 2 / 5


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(1, 5))
def test_it_is_the_share_of_those_seen_before(tokens: list[int], n: int) -> None:
    grams = [tuple(tokens[i : i + n]) for i in range(max(0, len(tokens) - n + 1))]
    again = sum(count - 1 for count in Counter(grams).values())
    assert abs(repeated_ngrams(tokens, n) - (again / len(grams) if grams else 0)) < 1e-12
