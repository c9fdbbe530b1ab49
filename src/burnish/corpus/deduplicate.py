"""Exact deduplication by a hash of the normalised text: what stays does not depend on the order of reading."""

import hashlib
from collections.abc import Collection, Sequence

from burnish.corpus.clean import Removed, Step
from burnish.corpus.documents import Document


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


def _rank(document: Document) -> tuple[str, str, str]:
    return document.id, document.source, document.text
