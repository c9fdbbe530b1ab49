"""Whether two tokenizers mean the same tokens by the same numbers."""

from burnish.text.tokenizer import Tokenizer


def first_difference(one: Tokenizer, other: Tokenizer) -> tuple[int, str | None, str | None] | None:
    """The first number that is not the same token for both, with what it is for each (None: nothing).

    None where all are. By content: models of one family have output layers of different sizes for one vocabulary
    (Qwen2.5 0.5B and 7B), and two vocabularies may be of one size.
    """
    by_id, by_id_of_other = (
        {number: token for token, number in tokenizer.backend.get_vocab().items()} for tokenizer in (one, other)
    )
    for number in sorted(by_id.keys() | by_id_of_other.keys()):
        if by_id.get(number) != by_id_of_other.get(number):
            return number, by_id.get(number), by_id_of_other.get(number)
    return None


def difference(one: Tokenizer, other: Tokenizer) -> str | None:
    """`first_difference` in words; None where there is none."""
    found = first_difference(one, other)
    if found is None:
        return None
    number, *tokens = found
    here, there = ("no token" if token is None else repr(token) for token in tokens)
    return f"token {number} is {here} in {one.source} and {there} in {other.source}"
