"""General English prose that is on every machine: the language reference that Python carries for `help()`."""

from collections.abc import Iterator

from burnish.corpus.prose import stdlib_documents


def documents() -> Iterator[dict[str, object]]:
    """The rows of general.jsonl, one a section of the reference."""
    for document in stdlib_documents():
        yield {"id": document.id, "text": document.text, "source": "general"}
