"""Words, lines and letters as spans of bytes, against regular expressions on text."""

import re
import unicodedata

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus.preparation.steps.spans import PIECE_BYTES, WHITE_SPACE, Spans, TextBytes, pieces

CHARACTERS = st.sampled_from([*WHITE_SPACE, *"ab1-\n\n\n.éßжж中🙂\u0301\u200b\x1c\x85\u2019\u1681"])
TEXTS = st.lists(st.text(CHARACTERS, max_size=40) | st.text(max_size=20), max_size=5)


def shown(found: TextBytes, spans: Spans) -> list[list[str]]:
    texts: list[list[str]] = [[] for _ in range(found.count)]
    for start, end, text in zip(spans.starts, spans.ends, spans.texts, strict=True):
        texts[text].append(found.buffer[start:end].tobytes().decode())
    return texts


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_spans_are_those_of_plain_expressions(texts: list[str]) -> None:
    found = TextBytes(pl.Series(texts, dtype=pl.String))
    words = [re.findall(f"[^{WHITE_SPACE}]+", text) for text in texts]
    assert shown(found, found.words) == words
    assert found.n_words.tolist() == [len(one) for one in words]
    assert found.lengths(found.words).tolist() == [len(word) for one in words for word in one]
    letters = [any(unicodedata.category(mark)[0] == "L" for mark in word) for one in words for word in one]
    assert found.with_letter(found.words).tolist() == letters
    for newlines in (1, 2):
        parts = [re.split(rf"\n{{{newlines},}}", text.strip(WHITE_SPACE)) for text in texts]
        assert shown(found, found.parts(min_newlines=newlines)) == [[part for part in one if part] for one in parts]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab", min_size=1, max_size=40) | st.integers(500, 530).map("x".__mul__), max_size=30))
def test_equal_words_alone_have_equal_hashes(words: list[str]) -> None:
    found = TextBytes(pl.Series([" ".join(words), " ".join(reversed(words))], dtype=pl.String))
    hashes = found.hashes(found.words).tolist()
    assert hashes == [*hashes[: len(words)], *reversed(hashes[: len(words)])]
    assert len(set(hashes)) == len(set(words))


def test_a_batch_in_pieces_is_the_whole_batch() -> None:
    texts = pl.Series(["x" * 100] * 3 + ["long " * (PIECE_BYTES // 4)] + ["y"] * 7)
    taken = [(place, found.count) for place, found in pieces(texts)]
    assert [number for place, _ in taken for number in range(len(texts))[place]] == list(range(len(texts)))
    assert all(place.stop - place.start == count for place, count in taken)
    assert len(taken) > 1
    assert np.array_equal(TextBytes(texts[3:4]).n_words, [PIECE_BYTES // 4])
    assert not list(pieces(pl.Series([], dtype=pl.String)))
