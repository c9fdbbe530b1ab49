"""Two vocabularies are compared by what their numbers mean."""

from dataclasses import replace

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel

from burnish.text.tokenizer import Tokenizer
from burnish.text.vocabulary import difference, first_difference


def words(*tokens: str, source: str = "here") -> Tokenizer:
    backend = Backend(WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=tokens[0]))
    return Tokenizer(backend=backend, source=source)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (["a", "b", "c"], None),
        (["a", "c", "b"], (1, "b", "c")),
        (["a", "b"], (2, "c", None)),
        (["a", "b", "c", "d"], (3, None, "d")),
    ],
)
def test_the_first_difference_is_found(other: list[str], expected: tuple[int, str | None, str | None] | None) -> None:
    one, two = words("a", "b", "c"), words(*other, source="there")
    assert first_difference(one, two) == expected
    assert (difference(one, two) is None) == (expected is None)


def test_it_is_said_in_words_also_of_added_tokens() -> None:
    one, two = words("a", "b"), words("a", "b", source="there")
    two.backend.add_tokens(["<think>"])
    assert difference(one, two) == "token 2 is no token in here and '<think>' in there"
    assert difference(one, replace(one, source="elsewhere")) is None
