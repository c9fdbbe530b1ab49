"""pass@k: equal to counting subsets, unbiased, and what the plain form gets wrong."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.evaluation import biased_pass_at_k, pass_at_k


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 9))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


@given(counts())
def test_it_is_the_share_of_subsets_with_a_right_answer(case: tuple[int, int, int]) -> None:
    n, c, k = case
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


@given(counts(), st.floats(0, 1))
def test_it_is_unbiased_and_the_plain_form_says_too_little(case: tuple[int, int, int], p: float) -> None:
    """Averaged over all that n answers may be, each right with probability p."""
    n, _, k = case
    chances = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    truth = 1 - (1 - p) ** k
    assert sum(chance * pass_at_k(n, c, k) for c, chance in enumerate(chances)) == pytest.approx(truth, abs=1e-9)
    assert sum(chance * biased_pass_at_k(n, c, k) for c, chance in enumerate(chances)) <= truth + 1e-9


def test_the_bias_is_large_where_k_is_near_n() -> None:
    assert pass_at_k(10, 1, 10) == 1.0
    assert biased_pass_at_k(10, 1, 10) == pytest.approx(0.651, abs=1e-3)


@given(st.integers(1, 2000), st.data())
def test_many_answers_neither_overflow_nor_leave_the_unit_interval(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert 0 <= pass_at_k(n, c, k) <= 1
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)


@pytest.mark.parametrize(
    ("n", "c", "k", "message"),
    [
        (4, 2, 8, "pass@8 needs at least k = 8 answers to a problem, got n = 4"),
        (4, 5, 2, "n = 4 .* c = 5"),
        (4, -1, 2, "c = -1"),
        (4, 2, 0, "k = 0"),
    ],
)
def test_what_cannot_be_is_refused(n: int, c: int, k: int, message: str) -> None:
    for estimate in (pass_at_k, biased_pass_at_k):
        with pytest.raises(ValueError, match=message):
            estimate(n, c, k)
