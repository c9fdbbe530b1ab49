"""SimHash: pairs as a plain search finds them, and distances as the theory has them."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus.preparation.pipeline import prepare
from burnish.corpus.preparation.sources import DocumentSource
from burnish.corpus.preparation.steps.simhash import SimHash, fingerprints, near_pairs


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.sets(st.integers(0, 63), max_size=9)), max_size=12),
    st.integers(0, 6),
)
def test_pairs_are_those_of_a_plain_search(
    numbers: list[int], changed: list[tuple[int, set[int]]], max_distance: int
) -> None:
    numbers += [numbers[place % len(numbers)] ^ sum(1 << bit for bit in bits) for place, bits in changed]
    prints = np.array(numbers, dtype=np.uint64)
    first, other = near_pairs(prints, max_distance)
    found = set(zip(first.tolist(), other.tolist(), strict=True))
    near = {
        (one, two)
        for two in range(len(numbers))
        for one in range(two)
        if (numbers[one] ^ numbers[two]).bit_count() <= max_distance
    }
    assert found <= near
    first_of = {number: numbers.index(number) for number in numbers}

    def of_different_numbers(pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
        named = {(first_of[numbers[one]], first_of[numbers[two]]) for one, two in pairs}
        return {(min(pair), max(pair)) for pair in named if pair[0] != pair[1]}

    assert of_different_numbers(found) == of_different_numbers(near)


def test_bits_differ_by_the_angle_between_the_texts() -> None:
    """The share of different bits is the angle over pi (Charikar 2002), here of texts of different single words."""
    generator = np.random.default_rng(0)
    words = [f"w{number}" for number in range(400)]
    for shared in (50, 90):
        differing = []
        for _ in range(60):
            drawn = generator.choice(words, 200 - shared, replace=False).tolist()
            one, other = drawn[:100], drawn[:shared] + drawn[100:]
            prints, _ = fingerprints(pl.Series([" ".join(one), " ".join(other)]), 1, 1)
            differing.append((int(prints[0]) ^ int(prints[1])).bit_count())
        assert np.mean(differing) == pytest.approx(64 * math.acos(shared / 100) / math.pi, abs=2.5)


def test_of_near_texts_the_first_stays(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    words = [f"w{number}" for number in range(3000)]
    texts = [" ".join(generator.choice(words, 400)) for _ in range(20)]
    rows = pl.DataFrame({"id": [f"{n:02d}" for n in range(40)], "text": texts + [f"{text} more" for text in texts]})
    file = tmp_path / "rows.parquet"
    rows.write_parquet(file)
    record = prepare([DocumentSource(paths=[str(file)])], [SimHash()], tmp_path / "out")
    kept = pl.read_parquet(tmp_path / "out" / "documents" / "*.parquet")
    assert kept["id"].to_list() == [f"{n:02d}" for n in range(20)]
    clusters = record.clusters["0-simhash"]
    assert [one["n_removed"] for one in clusters] == [1] * 10
    assert clusters[0]["text"] == texts[0][:400]


def test_texts_without_words_are_not_alike() -> None:
    _, found = fingerprints(pl.Series(["", " ", "a word"]), 3, 1)
    assert found.tolist() == [False, False, True]
