"""Documents cut into passages: along headings, within their size, and nothing lost."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.retrieval.chunks import Chunk, chunk, words_and_signs

MANUAL = """\
# Tasks

Tasks run coroutines. They are made by create_task().

## Cancelling

Call cancel() on it. The task raises CancelledError at its next await.

```python
# a comment, no heading
task.cancel()

await task
```

## Empty one

# Queues

Queues hold items.
"""


def texts(document: str, chunks: list[Chunk]) -> list[tuple[str, str]]:
    return [(one.heading, document[one.start : one.end]) for one in chunks]


def test_passages_follow_headings_and_keep_paragraphs_whole() -> None:
    found = texts(MANUAL, chunk(MANUAL, words_and_signs, size=20, overlap=0))
    assert [heading for heading, _ in found] == ["Tasks", "Tasks > Cancelling", "Tasks > Cancelling", "Tasks", "Queues"]
    assert found[0][1] == "Tasks run coroutines. They are made by create_task()."
    assert found[2][1].startswith("```python")
    assert found[2][1].endswith("```")
    assert found[3][1] == "## Empty one"  # a heading without text is still found


def test_underlined_titles_are_headings_and_tables_are_not() -> None:
    document = (
        "Queue\n=====\n\nText.\n\nPut\n---\n\nMore.\n\n| a | b |\n| --- | --- |\n\nthe last line of a longer\n---\n"
    )
    found = texts(document, chunk(document, words_and_signs, size=50, overlap=0))
    assert [heading for heading, _ in found] == ["Queue", "Queue > Put"]


def test_the_anchor_of_a_page_is_no_part_of_its_title() -> None:
    assert chunk("# Queues¶\n\nText.\n", words_and_signs, size=50, overlap=0)[0].heading == "Queues"


def test_an_overline_belongs_to_the_title() -> None:
    document = "***\nOne\n***\n\nText.\n"
    assert [one.heading for one in chunk(document, words_and_signs, size=50, overlap=0)] == ["One"]


def test_source_code_has_no_headings() -> None:
    code = "# set up\nx = 1\n"
    assert texts(code, chunk(code, words_and_signs, size=50, overlap=0, headings=False)) == [("", code.strip())]


def test_long_paragraphs_are_cut_between_sentences_that_the_next_passage_repeats() -> None:
    document = "One is first. Two is second. Three is third. Four is fourth."
    found = texts(document, chunk(document, words_and_signs, size=8, overlap=4))
    assert [text for _, text in found] == [
        "One is first. Two is second.",
        "Two is second. Three is third.",
        "Three is third. Four is fourth.",
    ]


@pytest.mark.parametrize("text", ["", " \n\n ", "\n"])
def test_a_blank_document_has_no_passages(text: str) -> None:
    assert chunk(text, words_and_signs, size=10, overlap=0) == []


def test_a_line_without_spaces_is_cut_between_tokens() -> None:
    text = "." * 100_000
    found = chunk(text, words_and_signs, size=10, overlap=2)
    assert all(len(words_and_signs(text[one.start : one.end])) <= 10 for one in found)


pieces = st.sampled_from(
    [
        "# H",
        "## A b",
        "Title\n=====",
        "word ",
        "One. ",
        "Two? ",
        "\n",
        "\n\n",
        "```",
        "  x = 1\n",
        "naïve ",
        "日本語。",
        "- a\n",
    ]
)


@given(st.lists(pieces, max_size=60).map("".join), st.integers(8, 30), st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_everything_is_in_a_passage_and_none_is_too_long(text: str, size: int, overlap: int) -> None:
    found = chunk(text, words_and_signs, size=size, overlap=overlap)
    starts = words_and_signs(text)
    seen = "\n".join(f"{one.heading} {text[one.start : one.end]}" for one in found)
    covered = {place for one in found for place in range(one.start, one.end)}
    for place, letter in enumerate(text):
        # Headings are told beside the passages, without the signs that mark them.
        assert place in covered or letter.isspace() or letter in seen or letter in "#=`"
    for one in found:
        assert sum(one.start <= place < one.end for place in starts) <= size
        assert text[one.start : one.end].strip()
    for one, after in itertools.pairwise(found):
        assert after.start > one.start
        assert sum(after.start <= place < one.end for place in starts) <= overlap
    words = re.findall(r"\w+", text)
    assert set(words) <= set(re.findall(r"\w+", seen))
