"""Steps of answers: where they are split, which tokens they are, and where they end among tokens that were sampled."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.text.steps import encode_steps, split_steps, token_places
from workshop import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


@pytest.mark.parametrize(
    ("answer", "separator", "steps"),
    [
        ("2 + 2\n= 4\nSo 4", "\n", [("2 + 2", 6), ("= 4", 10), ("So 4", 14)]),
        ("2 + 2\n\n= 4\n", "\n", [("2 + 2", 6), ("= 4", 11)]),
        ("2 + 2\n= 4\n\nSo 4", "\n\n", [("2 + 2\n= 4", 11), ("So 4", 15)]),
        ("one ки two ки", " ки", [("one", 6), (" two", 13)]),
        ("no separator", "\n", [("no separator", 12)]),
        (" \n \n", "\n", []),
        ("", "\n", []),
    ],
)
def test_answers_are_split(answer: str, separator: str, steps: list[tuple[str, int]]) -> None:
    found = split_steps(answer, separator)
    assert [(step.text, step.end) for step in found] == steps


def test_a_separator_stands_behind_each_step() -> None:
    tokens, ends = encode_steps(TOKENIZER, ["SELECT 1", "2 mod 3?"], "\n\n")
    assert TOKENIZER.decode(tokens) == "SELECT 1\n\n2 mod 3?\n\n"
    assert [TOKENIZER.decode(tokens[: end + 1]) for end in ends] == ["SELECT 1\n\n", "SELECT 1\n\n2 mod 3?\n\n"]
    # What comes later does not change the tokens of what was before.
    assert encode_steps(TOKENIZER, ["SELECT 1"], "\n\n")[0] == tokens[: ends[0] + 1]


@settings(max_examples=40)
@given(st.lists(st.text("SELECT 12é🙂?", min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=5))
def test_the_places_are_the_first_tokens_with_the_whole_of_a_step(pieces: list[str]) -> None:
    answer = "\n".join(pieces)
    tokens = [*TOKENIZER.encode(answer), 2]
    ends = [step.end for step in split_steps(answer, "\n")]
    for end, place in zip(ends, token_places(TOKENIZER, tokens, ends), strict=True):
        assert TOKENIZER.decode(tokens[: place + 1]).startswith(answer[:end])
        assert not TOKENIZER.decode(tokens[:place]).startswith(answer[:end])
