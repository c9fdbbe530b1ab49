"""BM25: terms of a text, and weights as the formula has them."""

import math
from collections import Counter

import numpy as np
import pytest

from burnish.errors import BurnishError
from burnish.retrieval.fusion import best, reciprocal_rank_fusion
from burnish.retrieval.lexical import Lexicon, Words


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Cancelling the tasks", ["cancel", "task"]),
        ("sqlite3_open_v2", ["sqlite3_open_v2", "sqlite", "3", "open", "v", "2"]),
        ("getHTTPResponse", ["gethttprespons", "get", "http", "respons"]),
        ("größere ÉCOLE", ["größere", "école"]),
        ("日本語 x", ["日本", "本語", "x"]),
        ("語", ["語"]),
        ("ﬁle", ["file"]),
        ("...", []),
    ],
)
def test_terms_of_a_text(text: str, terms: list[str]) -> None:
    assert Words("english").terms(text) == terms


def test_other_languages_have_their_own_endings_and_none_has_none() -> None:
    assert Words("german").terms("die Häuser") == ["haus"]
    assert Words("none").terms("the tasks") == ["the", "tasks"]
    with pytest.raises(BurnishError, match="language: got 'klingon'; expected one of none, arabic"):
        Words("klingon")


def test_weights_are_those_of_the_formula() -> None:
    """score = Σ_t ln(1 + (N - n_t + 0.5) / (n_t + 0.5)) · f / (f + k1 (1 - b + b |d| / mean |d|))."""
    passages = [["a", "b", "a"], ["b", "c"], ["c", "c", "d", "e"], []]
    lexicon = Lexicon.build(passages, k1=1.2, b=0.6)
    mean = np.mean([len(one) for one in passages])
    for query in (["a"], ["b", "c"], ["a", "e", "missing"]):
        for passage, score in zip(passages, lexicon.scores(query), strict=True):
            counts = Counter(passage)
            expected = 0.0
            for term in query:
                n, f = sum(term in one for one in passages), counts[term]
                idf = math.log(1 + (len(passages) - n + 0.5) / (n + 0.5))
                expected += idf * f / (f + 1.2 * (1 - 0.6 + 0.6 * len(passage) / mean))
            assert score == pytest.approx(expected, rel=1e-5)


def test_passages_without_terms_are_never_found() -> None:
    assert Lexicon.build([[], []]).scores(["a"]).tolist() == [0.0, 0.0]


def test_of_equal_scores_the_earlier_comes_first() -> None:
    scores = np.array([1, 3, 2, 3, 2, 0], dtype=np.float32)
    assert best(scores, 3) == [1, 3, 2]
    assert best(scores, 9, above=0.0) == [1, 3, 2, 4, 0]
    assert best(scores, 2, above=5.0) == []


def test_fusion_adds_reciprocal_ranks() -> None:
    assert reciprocal_rank_fusion([[7, 8], [8]]) == {7: 1 / 61, 8: 1 / 62 + 1 / 61}
