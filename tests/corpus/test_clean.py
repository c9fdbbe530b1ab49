"""Cleaning steps, their statistics and what they remove."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.corpus.clean import (
    normalize_unicode,
    normalize_whitespace,
    remove_if,
    rewrite,
    run_steps,
    split_long,
    too_short,
)
from burnish.corpus.documents import Document


def document(text: str) -> Document:
    return Document(f"id of {text[:9]}", text, "source")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("a\r\nb\rc\u2028d\fe", "a\nb\nc\nd\ne"),
        ("\ufeffa\x00b\x1bc\td\x7f", "abc\td"),
        ("half \ud83d pair", "half  pair"),
        ("\u0939\u200d\u0928 👩\u200d👩", "\u0939\u200d\u0928 👩\u200d👩"),
    ],
)
def test_unicode(text: str, expected: str) -> None:
    assert normalize_unicode(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  \nb\t\n", "a\nb"),
        ("\n\na\n\n\n\nb", "a\n\nb"),
        ("a\n \n \n \nb", "a\n\nb"),
        ("def f():\n    return  1", "def f():\n    return  1"),
        ("10\u00a0km", "10 km"),
    ],
)
def test_whitespace(text: str, expected: str) -> None:
    assert normalize_whitespace(text) == expected


@given(st.text())
def test_cleaning_what_is_clean_changes_nothing(text: str) -> None:
    for function in (normalize_unicode, normalize_whitespace):
        once = function(text)
        assert function(once) == once
    normalize_unicode(text).encode()


def test_every_step_is_counted_and_the_removed_documents_are_kept() -> None:
    documents = [document("  short"), document("long enough"), document("also long enough")]
    steps = [rewrite("strip", str.strip), remove_if("too short", too_short(6))]
    kept, removed, statistics = run_steps(documents, steps)
    assert [item.text for item in kept] == ["long enough", "also long enough"]
    assert [(item.document.text, item.step, item.reason) for item in removed] == [
        ("short", "too short", "5 characters, fewer than 6")
    ]
    assert [(step.step, step.documents_in, step.documents_out) for step in statistics] == [
        ("strip", 3, 3),
        ("too short", 3, 2),
    ]
    assert [(step.characters_in, step.characters_out) for step in statistics] == [(34, 32), (32, 27)]
    assert all(step.seconds >= 0 for step in statistics)


def test_long_documents_are_split_between_paragraphs() -> None:
    step = split_long(20)
    pieces, removed = step.apply([document("first one\n\nsecond\nthird one is long"), document("short")])
    assert [piece.text for piece in pieces] == ["first one\n\nsecond\n", "third one is long", "short"]
    assert [piece.id for piece in pieces] == ["id of first one#1", "id of first one#2", "id of short"]
    assert removed == []


@given(st.text(alphabet="ab. \n"), st.integers(1, 12))
def test_splitting_loses_nothing(text: str, size: int) -> None:
    pieces, _ = split_long(size).apply([document(text)])
    assert "".join(piece.text for piece in pieces) == text
    assert all(len(piece.text) <= size for piece in pieces)


def test_a_long_run_of_spaces_takes_no_longer_than_its_length() -> None:
    # Quadratic, these two million spaces would take hours.
    assert normalize_whitespace("a" + " " * 2_000_000 + "b \nc") == "a" + " " * 2_000_000 + "b\nc"
