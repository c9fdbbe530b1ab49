"""Streamed text is what a decoding of all tokens gives, cut before the first stop string, wherever tokens end."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.text.streaming import StreamedText, first_stop
from burnish.text.tokenizer import Tokenizer
from workshop import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def split_at(text: str, cuts: list[int]) -> list[int]:
    """Tokens of the text's pieces, each encoded by itself: tokens end where the pieces do."""
    pieces = [text[a:b] for a, b in pairwise([0, *sorted({c % (len(text) + 1) for c in cuts}), len(text)])]
    return [token for piece in pieces for token in TOKENIZER.encode(piece)]


def stream(
    tokens: list[int], stops: tuple[str, ...], tokenizer: Tokenizer = TOKENIZER
) -> tuple[list[str], StreamedText]:
    text = StreamedText(tokenizer, stops)
    pieces = []
    for token in tokens:
        pieces.append(text.add(token))
        if text.stopped:
            break
    return [*pieces, text.finish()], text


@given(
    st.text("ab\nQ:ü🙂", max_size=30),
    st.lists(st.integers(0, 100), max_size=5),
    st.lists(st.text("ab\nQ:", min_size=1, max_size=4), max_size=3),
)
@settings(max_examples=60)
def test_pieces_are_the_text_before_the_first_stop_string(text: str, cuts: list[int], stops: list[str]) -> None:
    tokens = split_at(text, cuts)
    whole = TOKENIZER.decode(tokens)
    cut = first_stop(whole, stops)
    expected = whole if cut is None else whole[:cut]
    pieces, streamed = stream(tokens, tuple(stops))
    assert "".join(pieces) == streamed.text == expected
    assert streamed.stopped == (cut is not None)


def test_a_stop_string_across_tokens_is_never_shown() -> None:
    tokens = [token for piece in ("ab", "\n", "Q", ": a") for token in TOKENIZER.encode(piece)]
    pieces, streamed = stream(tokens, ("\nQ:",))
    assert "".join(pieces) == "ab"
    assert streamed.stopped


def test_what_only_begins_like_a_stop_string_comes_later() -> None:
    tokens = [token for piece in ("a", "\n", "Q", "b") for token in TOKENIZER.encode(piece)]
    pieces, streamed = stream(tokens, ("\nQ:",))
    assert pieces == ["a", "", "", "\nQb", ""]
    assert not streamed.stopped


def test_a_character_of_several_tokens_comes_whole() -> None:
    tokens = TOKENIZER.encode("🙂")
    assert len(tokens) > 1, "the case needs a character of several tokens"
    pieces, _ = stream(tokens, ())
    assert pieces == [*[""] * (len(tokens) - 1), "🙂", ""]
    pieces, _ = stream(tokens[:-1], ())
    assert "".join(pieces) == TOKENIZER.decode(tokens[:-1]), "what is left of a broken one is shown at the end"


@pytest.mark.parametrize(("text", "stops", "start", "place"), [
    ("abcab", ("b",), 0, 1), ("abcab", ("b",), 2, 4), ("abc", ("x",), 0, None), ("abc", ("c", "bc"), 0, 1),
    ("abc", (), 0, None),
])  # fmt: skip
def test_the_first_stop_string(text: str, stops: tuple[str, ...], start: int, place: int | None) -> None:
    assert first_stop(text, stops, start) == place
