"""The matching of rows within tolerances agrees with trying every permutation, and stays quick on large results."""

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.rewards.sql_matching import Box, Point, inside, one_to_one

SPANS = st.tuples(st.integers(0, 5), st.integers(0, 3)).map(lambda span: (span[0], span[0] + span[1]))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Box], list[Point]]:
    """Boxes and as many points, of which many lie in some box."""
    dimensions, size = draw(st.integers(0, 3)), draw(st.integers(0, 5))
    boxes = [tuple(draw(SPANS) for _ in range(dimensions)) for _ in range(size)]
    inner = [tuple(draw(st.integers(low, high)) for low, high in box) for box in boxes]
    points = [draw(st.sampled_from(inner)) if draw(st.booleans()) else point for point in inner]
    return boxes, draw(st.permutations(points))


@settings(max_examples=150, deadline=None)
@given(problems())
def test_agrees_with_every_permutation(problem: tuple[list[Box], list[Point]]) -> None:
    boxes, points = problem
    expected = any(all(map(inside, order, boxes)) for order in itertools.permutations(points))
    assert one_to_one(boxes, points) is expected


def test_a_choice_that_looks_right_is_taken_back() -> None:
    wide, left, right = ((0, 9), (0, 9)), ((0, 1), (5, 6)), ((5, 6), (0, 1))
    assert one_to_one([wide, left, right], [(0, 5), (1, 6), (6, 0)])
    assert not one_to_one([wide, left, right], [(0, 5), (1, 6), (9, 9)])
    assert not one_to_one([left, left, wide], [(0, 5), (6, 0), (7, 0)])


def test_many_equal_rows_are_few_pairs() -> None:
    narrow, wide = ((0, 1), (0, 1)), ((0, 2), (0, 2))
    boxes, points = [narrow] * 5000 + [wide] * 5000, [(1, 0)] * 5000 + [(0, 2)] * 5000
    assert one_to_one(boxes, points)
    assert not one_to_one(boxes, [*points[:-5001], *[(0, 2)] * 5001])


def test_a_large_result_is_compared() -> None:
    draw = random.Random(1)
    rows = [(draw.random(), draw.random()) for _ in range(10_000)]
    boxes = [tuple((value - 1e-4, value + 1e-4) for value in row) for row in rows]
    points = [tuple(value + draw.uniform(-1e-4, 1e-4) for value in row) for row in rows]
    draw.shuffle(points)
    assert one_to_one(boxes, points)
    points[0] = (points[0][0], points[0][1] + 1e-3)
    assert not one_to_one(boxes, points)


def test_more_pairs_than_can_be_searched_are_only_tried_in_order() -> None:
    boxes = [((0.0, 1.0 + row / 10_000), (0.0, 1.0)) for row in range(10_000)]
    points = [(row / 10_000, (row * 7919 % 10_000) / 10_000) for row in range(10_000)]
    assert one_to_one(boxes, points)
    assert not one_to_one(boxes, [(2.0, 0.0), *points[1:]])
