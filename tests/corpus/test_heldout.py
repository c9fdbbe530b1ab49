"""What is held out is the share that was asked for, whatever the documents look like, and depends on content alone."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.corpus.deduplicate import content_hash
from burnish.corpus.documents import Document
from burnish.corpus.heldout import MIN_PIECE, hold_out
from burnish.corpus.spool import spooled
from burnish.corpus.spooled_parts import PARTS
from burnish.errors import DataError

WORD = st.sampled_from(
    ["river", "a", "of", "stone,", "bridge.", "x" * 70, "水の流れ", "12", "\n", "\n\n", "\n\n# Part\n"]
)
TEXT = st.lists(WORD, min_size=1, max_size=150).map(" ".join)


def documents(texts: list[str]) -> list[Document]:
    return [Document(f"{i}", text, "source") for i, text in enumerate(texts)]


DISTINCT = st.lists(st.text(max_size=8), unique_by=content_hash, min_size=2, max_size=60).map(documents)
MIXED = st.lists(TEXT, unique_by=content_hash, min_size=1, max_size=12).map(documents)


class Split(NamedTuple):
    train: list[Document]
    heldout: list[Document]
    cut: int


def split_heldout(given_documents: Sequence[Document], *, fraction: float, size: Callable[[str], int] = len) -> Split:
    """The documents on both sides; parts of `a` are `a#1`, `a#2` and so on."""
    with tempfile.TemporaryDirectory() as folder, spooled(Path(folder) / "spool") as spool:
        spool.add(0, given_documents)
        numbered = dict(spool.documents(0))
        spool.set_sizes((number, size(document.text)) for number, document in numbered.items())
        cut = hold_out(spool, 0, fraction=fraction, size=size)
        sides: list[list[Document]] = []
        for held in (False, True):
            keys = list(spool.parts.keys(0, held=held))
            of_side = []
            for key, text in zip(keys, spool.parts.texts(0, held=held), strict=True):
                document, part = numbered[key // PARTS], key % PARTS
                of_side.append(replace(document, id=f"{document.id}#{part}", text=text) if part else document)
                assert part or text == document.text
            sides.append(of_side)
    return Split(*sides, cut)


def squeezed(text: str) -> str:
    return "".join(text.split())


def characters(parts: list[Document]) -> int:
    return sum(len(part.text) for part in parts)


@given(MIXED, st.floats(0, 0.99), st.randoms())
def test_the_share_is_the_one_asked_for_and_nothing_is_lost(
    given_documents: list[Document], fraction: float, random: object
) -> None:
    total = characters(given_documents)
    train, heldout, cut = split_heldout(given_documents, fraction=fraction)
    # White space between two parts is of no side.
    parted = sorted(squeezed("".join(sorted(part.text for part in [*train, *heldout]))))
    assert parted == sorted(squeezed("".join(document.text for document in given_documents)))
    assert train
    if fraction == 0:
        assert (train, heldout, cut) == (given_documents, [], 0)
    elif len(train) + len(heldout) > 1:
        assert heldout
        allowed = max(min(fraction, 1 - fraction) * total / 16, MIN_PIECE) + 2 * (len(train) + len(heldout))
        assert abs(characters(heldout) - fraction * total) <= allowed
    shuffled = list(given_documents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert set(split_heldout(shuffled, fraction=fraction).heldout) == set(heldout)


@given(st.lists(st.integers(20, 4000), min_size=1, max_size=12), st.sampled_from([0.05, 0.1, 0.3]))
def test_of_words_the_share_is_met_within_a_sixteenth(lengths: list[int], fraction: float) -> None:
    texts = [" ".join(f"w{i}x{j}" for j in range(length)) for i, length in enumerate(lengths)]

    def words(text: str) -> int:
        return len(text.split())

    _, heldout, _ = split_heldout(documents(texts), fraction=fraction, size=words)
    held = sum(words(part.text) for part in heldout)
    assert abs(held - fraction * sum(lengths)) <= max(fraction * sum(lengths) / 16, MIN_PIECE)
    assert held


@given(DISTINCT, st.floats(0.05, 0.5), st.data())
def test_added_documents_move_text_in_one_direction_only(
    all_of_them: list[Document], fraction: float, data: st.DataObject
) -> None:
    few = all_of_them[: data.draw(st.integers(2, len(all_of_them)))]
    before, after = (set(split_heldout(part, fraction=fraction).heldout) for part in (few, all_of_them))
    assert not (before - after and (after - before) & set(few))


def test_one_document_is_cut_between_paragraphs_at_several_places() -> None:
    paragraphs = [f"Paragraph {i} says what only it says, in {i + 3} words or so." for i in range(200)]
    train, heldout, cut = split_heldout(documents(["\n\n".join(paragraphs)]), fraction=0.1)
    assert cut == 1
    assert len(heldout) >= 4
    assert sorted(p for part in [*train, *heldout] for p in part.text.split("\n\n")) == sorted(paragraphs)
    assert 0.09 < characters(heldout) / characters([*train, *heldout]) < 0.11
    assert {part.source for part in heldout} == {"source"}
    ids = [part.id for part in [*train, *heldout]]
    assert len(set(ids)) == len(ids)


def test_many_documents_stay_whole() -> None:
    texts = [f"text {i} " * 5 for i in range(2000)]
    train, heldout, cut = split_heldout(documents(texts), fraction=0.1)
    assert cut == 0
    assert 195 <= len(heldout) <= 205
    assert {document.text for document in [*train, *heldout]} == set(texts)


def test_three_long_documents_among_twenty_do_not_make_half_of_the_text_held_out() -> None:
    texts = [f"{i} " + "word " * (4000 if i < 3 else 60) for i in range(20)]
    _, heldout, cut = split_heldout(documents(texts), fraction=0.05)
    total = sum(map(len, texts))
    assert abs(characters(heldout) - 0.05 * total) < 0.05 * total / 16 + 20
    assert cut <= 3


def test_what_cannot_be_parted_is_trained_on() -> None:
    one = documents(["a"])
    assert split_heldout(one, fraction=0.1) == (one, [], 0)
    assert split_heldout([], fraction=0.1) == ([], [], 0)


def test_a_fraction_is_one() -> None:
    with pytest.raises(DataError, match=r"the held-out fraction is 1\.5; expected 0 or more"):
        split_heldout(documents(["a"]), fraction=1.5)
