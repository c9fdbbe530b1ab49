"""Exact deduplication and the held-out split, both by a hash of the normalised text.

Both depend on a document's content alone, never on the order of reading, so adding documents moves no other
document from one side to the other.
"""

import hashlib
from collections.abc import Collection, Sequence

from burnish.corpus.clean import Removed, Step
from burnish.corpus.documents import Document
from burnish.errors import DataError


def content_hash(text: str, *, purpose: bytes = b"") -> bytes:
    """Return 16 bytes that are equal for texts that differ in case and white space only.

    `purpose` (at most 16 bytes) gives independent hashes of one text.
    """
    folded = " ".join(text.casefold().split())
    return hashlib.blake2b(folded.encode(errors="surrogatepass"), digest_size=16, person=purpose).digest()


def exact_duplicates(elsewhere: Collection[bytes] = frozenset()) -> Step:
    """Return the step that keeps one of each set of equal texts, and none whose hash is in `elsewhere`.

    Of equal documents that with the smallest (id, source, text) stays, whatever their order.
    """

    def apply(documents: Sequence[Document]) -> tuple[list[Document], list[Removed]]:
        hashes = [content_hash(document.text) for document in documents]
        best: dict[bytes, Document] = {}
        for key, document in zip(hashes, documents, strict=True):
            best[key] = min(best.get(key, document), document, key=_rank)
        kept, removed = [], []
        taken: set[bytes] = set()
        for key, document in zip(hashes, documents, strict=True):
            if key in elsewhere:
                removed.append(Removed(document, "exact duplicates", "equal to a document of another group"))
            elif key not in taken and document == best[key]:
                taken.add(key)
                kept.append(document)
            else:
                removed.append(Removed(document, "exact duplicates", f"equal to document {best[key].id}"))
        return kept, removed

    return Step("exact duplicates", apply)


def split_heldout(
    documents: Sequence[Document], *, fraction: float, minimum: int = 1
) -> tuple[list[Document], list[Document]]:
    """Split documents into those to train on and those held out to measure perplexity.

    Each document has a number in [0, 1) made from its content, and is held out when that is below `fraction`.
    When those are fewer than `minimum`, the documents with the smallest numbers are, up to half of all.

    Raises:
        DataError: fewer than two documents to split.
    """
    if not 0 <= fraction < 1:
        raise DataError(f"the held-out fraction is {fraction}; expected 0 or more, less than 1")
    if fraction == 0 and minimum == 0:
        return list(documents), []
    if len(documents) < 2:
        raise DataError(
            f"{len(documents)} document(s) cannot be split into training and held-out text; add some, "
            "or split a long one with max_characters"
        )
    places = [_place(document) for document in documents]
    below = sum(place < fraction for place in places)
    count = min(max(below, min(minimum, len(documents) // 2)), len(documents) - 1)
    chosen = set(sorted(range(len(documents)), key=lambda i: (places[i], _rank(documents[i])))[:count])
    train = [document for i, document in enumerate(documents) if i not in chosen]
    return train, [documents[i] for i in sorted(chosen)]


def _place(document: Document) -> float:
    """Return a number in [0, 1), uniform over documents and fixed by the text."""
    return int.from_bytes(content_hash(document.text, purpose=b"heldout")[:7]) / 2**56


def _rank(document: Document) -> tuple[str, str, str]:
    return document.id, document.source, document.text
