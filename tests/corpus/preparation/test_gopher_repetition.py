"""Gopher's rules of repetition, against one document at a time in plain Python."""

import re
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus.preparation.steps.repetition import GopherRepetition
from burnish.corpus.preparation.table import SCHEMA


def reasons(texts: list[str], step: GopherRepetition) -> list[str | None]:
    rows = [{name: str(number) for name in SCHEMA} | {"text": text} for number, text in enumerate(texts)]
    outcome = step(pl.DataFrame(rows, schema=SCHEMA))
    why = dict(zip(outcome.removed["id"], outcome.removed["reason"], strict=True))
    return [why.get(str(number)) for number in range(len(texts))]


def naive(text: str) -> str | None:
    """The first rule that is broken."""
    length = max(len(text), 1)
    for name, separator in (("paragraphs", r"\n{2,}"), ("lines", r"\n+")):
        parts = re.split(separator, text.strip())
        again = [part for number, part in enumerate(parts) if part in parts[:number]]
        if len(again) / len(parts) > 0.3:
            return f"repeated {name}"
        if sum(map(len, again)) / length > 0.2:
            return f"characters in repeated {name}"
    words = text.split()
    for n, limit in {2: 0.20, 3: 0.18, 4: 0.16}.items():
        grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        if grams and grams.most_common(1)[0][1] * len(grams.most_common(1)[0][0]) / length > limit:
            return f"most frequent {n}-gram"
    for n, limit in {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}.items():
        known, total, place = set(), 0, 0
        while place < len(words) - n + 1:
            gram = tuple(words[place : place + n])
            if gram in known:
                total += sum(map(len, gram))
                place += n
            else:
                known.add(gram)
                place += 1
        if total / length > limit:
            return f"repeated {n}-grams"
    return None


UNIQUE = " ".join(f"word{number}" for number in range(60))
RUN = " ".join(f"again{number}" for number in range(12))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (UNIQUE, None),
        ("", None),
        ("one", "most frequent 2-gram") if naive("one") else ("one", None),
        ("\n\n".join(["A paragraph."] * 3 + [UNIQUE]), "repeated paragraphs"),
        ("\n\n".join([RUN, RUN, UNIQUE[:90], "a", "b"]), "characters in repeated paragraphs"),
        ("\n".join(["A line."] * 3 + [UNIQUE]), "repeated lines"),
        (f"{UNIQUE} " + " ".join(f"very much {number}" for number in range(60)), "most frequent 2-gram"),
        (f"{UNIQUE} {RUN} {UNIQUE[:200]} x {RUN} y {RUN}", naive(f"{UNIQUE} {RUN} {UNIQUE[:200]} x {RUN} y {RUN}")),
    ],
)
def test_the_first_broken_rule_is_named(text: str, reason: str | None) -> None:
    assert reasons([UNIQUE, text, UNIQUE], GopherRepetition()) == [None, reason, None]
    assert naive(text) == reason


PIECES = st.sampled_from([RUN, *RUN.split()[:6], *UNIQUE.split()[:30], "\n", "\n\n", "so it goes and goes on", "á é"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=80).map(" ".join), min_size=1, max_size=6))
def test_equals_the_plain_reading(texts: list[str]) -> None:
    assert reasons(texts, GopherRepetition()) == [naive(text) for text in texts]
