"""A path through documents along which neighbours belong together, and windows that join them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.corpus.relatedness import chain, vectors

TOPICS = {
    "bread": "flour water yeast salt oven knead dough crust loaf bake",
    "ships": "hull mast sail anchor harbour captain crew rudder keel tide",
    "courts": "judge jury verdict appeal plaintiff lawyer evidence statute trial clerk",
}


def texts() -> list[str]:
    """Thirty texts, topics in turn, each of six words of its topic's ten."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.permutation(words.split())[:6]) for _ in range(10) for words in TOPICS.values()]


def test_neighbours_on_the_path_share_their_topic() -> None:
    path = chain(texts(), neighbours=9)
    assert sorted(path) == [*range(30)]
    # Two changes of topic are needed; a chance order has twenty.
    assert sum(a % 3 != b % 3 for a, b in pairwise(path)) == 2


def test_vectors_are_near_the_cosines_that_they_stand_for() -> None:
    found = vectors(texts())
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    words = sorted({word for text in texts() for word in text.split()})
    counts = np.array([[word in text.split() for word in words] for text in texts()], dtype=float)
    exact = counts * np.log(30 / counts.sum(0) + 1)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    assert np.abs(found @ found.T - exact @ exact.T).mean() < 0.02


@given(st.lists(st.text(alphabet="ab ", max_size=12), max_size=12))
def test_any_texts_are_visited_once(some: list[str]) -> None:
    assert sorted(chain(some)) == [*range(len(some))]
