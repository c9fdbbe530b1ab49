"""Deduplication and the held-out split depend on content, never on order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.corpus.deduplicate import content_hash, exact_duplicates, split_heldout
from burnish.corpus.documents import Document
from burnish.errors import DataError

WORDS = st.lists(st.sampled_from(["a", "B", "b", "c"]), max_size=3)
DOCUMENTS = st.lists(
    st.builds(
        lambda number, words, space: Document(str(number), space.join(words), "source"),
        st.integers(0, 9),
        WORDS,
        st.sampled_from([" ", "\n", "  "]),
    ),
    max_size=30,
)
DISTINCT = st.lists(st.text(max_size=8), unique_by=content_hash, min_size=2, max_size=60).map(
    lambda texts: [Document(f"{i}", text, "source") for i, text in enumerate(texts)]
)


def test_case_and_white_space_do_not_make_a_difference() -> None:
    assert content_hash("The  same\ntext ") == content_hash("the same TEXT")
    assert content_hash("the same text") != content_hash("thesametext")
    assert content_hash("a") != content_hash("a", purpose=b"heldout")


@given(DOCUMENTS)
def test_one_of_each_content_stays(documents: list[Document]) -> None:
    kept, removed = exact_duplicates().apply(documents)
    contents = [content_hash(document.text) for document in kept]
    assert len(contents) == len(set(contents))
    assert set(contents) == {content_hash(document.text) for document in documents}
    assert sorted(map(repr, kept + [item.document for item in removed])) == sorted(map(repr, documents))


@given(DOCUMENTS)
def test_deduplication_is_idempotent(documents: list[Document]) -> None:
    kept, _ = exact_duplicates().apply(documents)
    assert exact_duplicates().apply(kept) == (kept, [])


@given(DOCUMENTS, st.randoms())
def test_what_stays_does_not_depend_on_the_order(documents: list[Document], random: object) -> None:
    shuffled = list(documents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    kept, _ = exact_duplicates().apply(documents)
    kept_shuffled, _ = exact_duplicates().apply(shuffled)
    assert set(kept) == set(kept_shuffled)


def test_documents_of_another_group_are_removed_and_the_reason_is_told() -> None:
    documents = [Document("2", "a", "s"), Document("1", "A", "s"), Document("3", "other", "s")]
    kept, removed = exact_duplicates({content_hash("Other")}).apply(documents)
    assert kept == [documents[1]]
    assert [(item.document.id, item.reason) for item in removed] == [
        ("2", "equal to document 1"),
        ("3", "equal to a document of another group"),
    ]


@given(DISTINCT, st.floats(0.05, 0.5), st.data())
def test_the_split_is_stable_when_documents_are_added(
    documents: list[Document], fraction: float, data: st.DataObject
) -> None:
    count = data.draw(st.integers(2, len(documents)))
    few, all_of_them = (split_heldout(part, fraction=fraction, minimum=0) for part in (documents[:count], documents))
    if len(few[0]) > 1:  # else all but one would be held out, and that one was kept for training
        assert set(few[0]) <= set(all_of_them[0])
    assert set(few[1]) <= set(all_of_them[1])


@given(DISTINCT, st.floats(0, 0.9), st.integers(1, 9), st.randoms())
def test_the_split_parts_the_documents(
    documents: list[Document], fraction: float, minimum: int, random: object
) -> None:
    train, heldout = split_heldout(documents, fraction=fraction, minimum=minimum)
    assert sorted(map(repr, train + heldout)) == sorted(map(repr, documents))
    assert train
    assert len(heldout) >= min(minimum, len(documents) // 2)
    shuffled = list(documents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert set(split_heldout(shuffled, fraction=fraction, minimum=minimum)[1]) == set(heldout)


def test_the_fraction_is_about_met() -> None:
    documents = [Document(str(i), f"text {i}", "source") for i in range(2000)]
    _, heldout = split_heldout(documents, fraction=0.1, minimum=1)
    assert 150 < len(heldout) < 250


def test_what_cannot_be_split() -> None:
    one = [Document("1", "a", "s")]
    with pytest.raises(DataError, match=r"1 document\(s\) cannot be split"):
        split_heldout(one, fraction=0.1)
    with pytest.raises(DataError, match=r"the held-out fraction is 1\.5; expected 0 or more"):
        split_heldout(one * 3, fraction=1.5)
    assert split_heldout(one, fraction=0, minimum=0) == (one, [])
