"""Deduplication depends on content, never on order."""

from hypothesis import given
from hypothesis import strategies as st

from burnish.corpus.deduplicate import content_hash, exact_duplicates
from burnish.corpus.documents import Document

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
