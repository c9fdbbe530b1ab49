"""The forest holds exactly the sequences that it was built from, each shared prefix once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.forest import Forest
from forests import forests, leaves

sequences = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=8)


@given(sequences, st.integers(1, 6))
def test_every_sequence_is_a_path(rows: list[list[int]], min_shared: int) -> None:
    forest, ends = Forest.from_sequences(rows, min_shared=min_shared)
    for row, end in zip(rows, ends, strict=True):
        assert forest.tokens[forest.path(end)].tolist() == row
        assert forest.positions[forest.path(end)].tolist() == list(range(len(row)))


@given(sequences, st.integers(1, 6))
def test_long_shared_prefixes_are_stored_once(rows: list[list[int]], min_shared: int) -> None:
    forest, _ = Forest.from_sequences(rows, min_shared=min_shared)
    children: dict[tuple[int, tuple[int, ...]], int] = {}
    for segment, parent in enumerate(forest.parents):
        start = forest.offsets[segment]
        head = forest.tokens[start : start + min(min_shared, forest.lengths[segment])].tolist()
        if len(head) == min_shared:
            key = (parent, tuple(head))
            assert key not in children, "two siblings begin alike for min_shared tokens"
            children[key] = segment
    assert forest.n_tokens <= sum(map(len, rows))


@given(forests())
def test_predecessor_is_the_token_before_on_every_path(forest: Forest) -> None:
    for leaf in leaves(forest):
        path = forest.path(leaf)
        assert forest.predecessors[path].tolist() == [-1, *path[:-1].tolist()]


@given(forests())
def test_descendants_are_the_tokens_behind_a_segment(forest: Forest) -> None:
    for segment in range(forest.n_segments):
        below = [s for s in range(forest.n_segments) if segment in _ancestors(forest, s)]
        stop = forest.descendants_stop[segment]
        inside = [s for s in range(segment + 1, forest.n_segments) if forest.offsets[s] < stop]
        assert inside == below


def test_equal_leaves_are_neighbours() -> None:
    prompt = list(range(20))
    rows = [prompt + [90 + i] * length for i, length in enumerate([3, 5, 3, 4, 5, 3])]
    forest, _ = Forest.from_sequences(rows)
    assert forest.lengths == (20, 3, 3, 3, 4, 5, 5)


def test_identical_sequences_share_their_end() -> None:
    forest, ends = Forest.from_sequences([[1, 2, 3], [1, 2, 3]])
    assert forest.n_tokens == 3
    assert ends == [0, 0]


@pytest.mark.parametrize(
    ("tokens", "lengths", "parents", "message"),
    [
        ([1, 2], (1,), (-1,), "add up to 1"),
        ([1, 2], (1, 1), (-1,), "2 lengths but 1 parents"),
        ([1, 2], (2, 0), (-1, 0), "segment 1 has length 0"),
        ([1, 2], (1, 1), (1, -1), "segment 0 has parent 1"),
        ([1, 2, 3], (1, 1, 1), (-1, -1, 0), "segment 2 has parent 0, which is not in depth-first pre-order"),
    ],
)
def test_a_wrong_layout_is_refused(
    tokens: list[int], lengths: tuple[int, ...], parents: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Forest(torch.tensor(tokens), lengths, parents)


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="sequence 1 is empty"):
        Forest.from_sequences([[1], []])


def _ancestors(forest: Forest, segment: int) -> set[int]:
    above = set()
    while (segment := forest.parents[segment]) != -1:
        above.add(segment)
    return above
