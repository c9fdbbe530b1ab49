"""Exact deduplication by a hash of the normalised text: what stays does not depend on the order of reading."""

import hashlib


def folded(text: str) -> bytes:
    """What is the same of texts that differ in case and white space only."""
    return " ".join(text.casefold().split()).encode(errors="surrogatepass")


def hash_of(data: bytes, *, purpose: bytes = b"") -> bytes:
    """16 bytes of a text's `folded` form; `purpose` (at most 16 bytes) gives independent hashes of one text."""
    return hashlib.blake2b(data, digest_size=16, person=purpose).digest()


def content_hash(text: str, *, purpose: bytes = b"") -> bytes:
    """Return 16 bytes that are equal for texts that differ in case and white space only."""
    return hash_of(folded(text), purpose=purpose)
