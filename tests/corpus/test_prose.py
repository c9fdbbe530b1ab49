"""The general text that is on every machine."""

from burnish.corpus.prose import MAX_CHARACTERS, MIN_CHARACTERS, stdlib_documents


def test_the_standard_library_is_prose_without_copies() -> None:
    documents = stdlib_documents()
    assert sum(len(document.text) for document in documents) > 300_000
    assert len({document.id for document in documents}) == len(documents)
    paragraphs = [p for document in documents for p in document.text.split("\n\n") if p.strip()]
    assert len(set(paragraphs)) == len(paragraphs)
    assert min(len(document.text) for document in documents) >= MIN_CHARACTERS
    assert sum(len(document.text) <= MAX_CHARACTERS for document in documents) > 0.95 * len(documents)
    assert documents == stdlib_documents()
