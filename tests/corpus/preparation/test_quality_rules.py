"""Published rules of quality, against one document at a time in plain Python."""

import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus.preparation.steps.quality import C4Quality, FineWebQuality, GopherQuality
from burnish.corpus.preparation.table import SCHEMA

SENTENCE = "The people of the town have to be at home with that. "
GOOD = SENTENCE * 6


def batch(texts: list[str]) -> pl.DataFrame:
    rows = [{name: str(number) for name in SCHEMA} | {"text": text} for number, text in enumerate(texts)]
    return pl.DataFrame(rows, schema=SCHEMA)


def reasons(step: Callable[[pl.DataFrame], Any], texts: list[str]) -> list[str | None]:
    outcome = step(batch(texts))
    why = dict(zip(outcome.removed["id"], outcome.removed["reason"], strict=True))
    assert sorted([*why, *outcome.kept["id"]], key=int) == [str(number) for number in range(len(texts))]
    assert outcome.removed["text"].to_list() == [texts[int(number)] for number in outcome.removed["id"]]
    return [why.get(str(number)) for number in range(len(texts))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        ("", "too few words"),
        ("The cat sat.", "too few words"),
        ("the of " * 50_001, "too many words"),
        ("a b the of to I " * 20, "short words"),
        ("incomprehensibilities the counterrevolutionaries of " * 20, "long words"),
        ("#" * 8 + " " + GOOD, "too many hash signs"),
        (GOOD.replace(". ", "... ") + "... ... ...", "too many ellipses"),
        ("\n".join(f"- {SENTENCE}" for _ in range(6)), "too many bullets"),
        ("\n".join(f"{SENTENCE.strip()[:-1]}..." for _ in range(6)), "too many lines that break off"),
        (GOOD + "1234 " * 40, "too few alphabetic words"),
        ("Nothing gets said here without much ado. " * 8, "too few stop words"),
        ("Theodore ofhand tobe andrew " * 20, "too few stop words"),
    ],
)
def test_gopher_says_which_rule_is_broken(text: str, reason: str | None) -> None:
    assert reasons(GopherQuality(), [GOOD, text]) == [None, reason]


def naive_gopher(text: str) -> bool:
    """Whether the text is kept, as the paper's table reads."""
    words = text.split()
    lines = text.split("\n")
    if not 50 <= len(words) <= 100_000 or not 3 <= sum(map(len, words)) / len(words) <= 10:
        return False
    if text.count("#") / len(words) > 0.1 or len(re.findall(r"\.\.\.|…", text)) / len(words) > 0.1:
        return False
    if sum(bool(re.match(r"\s*[•●▪‣*-]\s", line)) for line in lines) / len(lines) > 0.9:
        return False
    if sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines) > 0.3:
        return False
    if sum(any(letter.isalpha() for letter in word) for word in words) / len(words) < 0.8:
        return False
    stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"}
    return len(stop_words & set(re.findall(r"\w+", text))) >= 2


WORDS = st.sampled_from(["the", "of", "house", "#", "...", "- item", "12", "end.", "\n", "to", "bigger", "\n- ", "a"])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=30, max_size=90).map(" ".join), min_size=1, max_size=8))
def test_gopher_equals_the_plain_reading(texts: list[str]) -> None:
    texts = [" ".join([text, GOOD]) if number % 2 else text for number, text in enumerate(texts)]
    assert [reason is None for reason in reasons(GopherQuality(), texts)] == [naive_gopher(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "kept", "reason"),
    [
        ("\n".join([SENTENCE] * 5), "\n".join([SENTENCE.strip()] * 5), None),
        ("\n".join(["Menu", "Home and more of it", *[SENTENCE] * 5]), "\n".join([SENTENCE.strip()] * 5), None),
        ("\n".join([*[SENTENCE] * 5, "Please enable Javascript to see it."]), "\n".join([SENTENCE.strip()] * 5), None),
        ("\n".join([*[SENTENCE] * 5, "This site uses cookies."]), "\n".join([SENTENCE.strip()] * 5), None),
        ("\n".join([*[SENTENCE] * 5, "It breaks off here..."]), "\n".join([SENTENCE.strip()] * 5), None),
        ("\n".join([*[SENTENCE] * 5, f"It is {'x' * 1001} then."]), "\n".join([SENTENCE.strip()] * 5), None),
        ("\n".join([*[SENTENCE] * 4, "He said so.[12]"]), "\n".join([*[SENTENCE.strip()] * 4, "He said so."]), None),
        ("\n".join([SENTENCE] * 4), None, "too few sentences"),
        ("\n".join([*[SENTENCE] * 5, "Lorem ipsum dolor sit amet."]), None, "placeholder text"),
        ("\n".join([*[SENTENCE] * 5, "The page has { in it."]), None, "curly bracket"),
        ("\n".join([*[SENTENCE] * 5, "if (x) { return; }"]), "\n".join([SENTENCE.strip()] * 5), None),
        ("", None, "too few sentences"),
    ],
)
def test_c4_takes_out_lines_and_removes_scraps(text: str, kept: str | None, reason: str | None) -> None:
    outcome = C4Quality()(batch([text]))
    assert outcome.kept["text"].to_list() == ([] if kept is None else [kept])
    assert reasons(C4Quality(), [text]) == [reason]


def test_settings_of_c4_are_switches() -> None:
    text = "\n".join(["Menu of all the pages", "if (x) { return; }", "Enable javascript to go on", "x" * 1200 + " a b"])
    off = C4Quality(
        terminal_punctuation=False, curly_bracket=False, javascript=False, min_sentences=0, max_word_length=2000
    )
    assert off(batch([text])).kept["text"].to_list() == [text]


def naive_fineweb(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or sum(bool(re.search(r"""[.?!"'”’…。！？]\s*$""", line)) for line in lines) / len(lines) < 0.12:
        return False
    if sum(len(line) <= 30 for line in lines) / len(lines) > 0.67:
        return False
    repeated = sum(len(line) for number, line in enumerate(lines) if line in lines[:number])
    if repeated / len(text.replace("\n", "")) > 0.01:
        return False
    return text.count("\n") / len(text.split()) <= 0.3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        (
            "\n".join(f"A line of some length that is no sentence {n}" for n in range(9)),
            "lines that end like no sentence",
        ),
        ("\n".join(f"Short line {n}." for n in range(9)), "short lines"),
        ("\n".join([SENTENCE, SENTENCE]), "repeated lines"),
        (
            "\n\n\n\n\n".join(f"{n} Pneumonoultramicroscopicsilicovolcanoconiosis is." for n in range(9)),
            "list of lines",
        ),
        ("", "lines that end like no sentence"),
    ],
)
def test_fineweb_says_which_rule_is_broken(text: str, reason: str | None) -> None:
    assert reasons(FineWebQuality(), [GOOD, text]) == [None, reason]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=60).map(" ".join), min_size=1, max_size=6))
def test_fineweb_equals_the_plain_reading(texts: list[str]) -> None:
    assert [reason is None for reason in reasons(FineWebQuality(), texts)] == [naive_fineweb(text) for text in texts]
