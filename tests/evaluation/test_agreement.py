"""Cohen's kappa, against the published example and the definition."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.evaluation.agreement import agreement, pairwise_agreement, preferred


def test_the_textbook_example() -> None:
    # 20 both yes, 5 yes and no, 10 no and yes, 15 both no: p = 0.7, e = 0.5, kappa = 0.4.
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = agreement(first, second)
    assert (found.items, found.observed, found.expected) == (50, pytest.approx(0.7), pytest.approx(0.5))
    assert found.kappa == pytest.approx(0.4)
    assert found.low is not None
    assert found.high is not None
    assert 0.1 < found.low < 0.4 < found.high < 0.7


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=20))
def test_kappa_is_symmetric_and_one_where_all_agree(pairs: list[tuple[str, str]]) -> None:
    first, second = zip(*pairs, strict=True)
    assert agreement(first, second, resamples=2).kappa == pytest.approx(agreement(second, first, resamples=2).kappa)
    assert agreement(first, first, resamples=2).kappa in (None, pytest.approx(1.0))


def test_one_label_has_no_kappa_and_lists_must_match() -> None:
    assert agreement(["a", "a"], ["a", "a"]).kappa is None
    with pytest.raises(ValueError, match="got 1 and 2"):
        agreement(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        agreement([], [])


def test_judges_agree_about_pairs_of_answers() -> None:
    assert preferred([1.0, None, 0.5, 0.5]) == {(0, 2): "first", (0, 3): "first", (2, 3): "tie"}
    same = pairwise_agreement({"a": [[1, 2, 3], [2, 1]], "b": [[10, 20, 30], [20, 10]]})
    assert (same["a, b"].items, same["a, b"].kappa) == (4, pytest.approx(1.0))
    opposite = pairwise_agreement({"a": [[1, 2], [2, 1]], "b": [[2, 1], [1, 2]]})
    assert opposite["a, b"].kappa == pytest.approx(-1.0)
    assert pairwise_agreement({"a": [[1]], "b": [[1]]}) == {}
