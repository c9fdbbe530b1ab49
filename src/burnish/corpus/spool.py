"""Documents on the disk while a corpus is made of them, so that memory does not grow with what is read.

An SQLite database of its own, which sorts and joins within a bounded cache. Rows of facts and texts lie apart: most
questions are about the facts, some hundred bytes a document.

    documents    number, group_number, id, source, licence, score, hash, exact, heldout_hash, characters, size
    texts        number, text
    duplicates   number, of: what `drop_duplicates` took out, and the id of the document that stays for it
    tokens       number, tokens
    pieces       number, place, hash, size, text: of documents that are too large to be held out as one
    parts        key, held, size: what is trained on or measured on, in the order of reading
    part_texts   key, text: of parts that are not whole documents
    part_tokens  key, tokens: of these, and of all where the tokenizer came after the split
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burnish.corpus.deduplicate import folded, hash_of
from burnish.corpus.documents import Document
from burnish.corpus.spooled_parts import Parts, Tokens, sortable, text_of
from burnish.errors import BurnishError

CACHE_KIB = 32 << 10
"""Of the database's pages in memory."""
_PAGE_BYTES = 16 << 10
_SCHEMA = """
CREATE TABLE documents(number INTEGER PRIMARY KEY, group_number INTEGER, id BLOB, source BLOB, licence TEXT, score REAL,
    hash BLOB, exact BLOB, heldout_hash BLOB, characters INTEGER, size INTEGER);
CREATE TABLE texts(number INTEGER PRIMARY KEY, text BLOB);
CREATE TABLE duplicates(number INTEGER PRIMARY KEY, of BLOB);
CREATE TABLE pieces(number INTEGER, place INTEGER, hash BLOB, size INTEGER, text BLOB, PRIMARY KEY (number, place));
CREATE TABLE held(number INTEGER, place INTEGER, PRIMARY KEY (number, place)) WITHOUT ROWID;
CREATE TABLE tokens(number INTEGER PRIMARY KEY, tokens BLOB);
CREATE TABLE parts(key INTEGER PRIMARY KEY, held INTEGER, size INTEGER);
CREATE TABLE part_texts(key INTEGER PRIMARY KEY, text BLOB);
CREATE TABLE part_tokens(key INTEGER PRIMARY KEY, tokens BLOB);
"""


class Spool:
    """The documents of one corpus. Groups have numbers, the most important the smallest; documents in reading order."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._count = 0
        self.parts = Parts(database)

    def add(self, group: int, documents: Iterable[Document]) -> None:
        """Take in documents of a group, behind all others."""
        rows, texts = [], []
        for document in documents:
            self._count += 1
            text, same = document.text.encode(errors="surrogatepass"), folded(document.text)
            rows.append(
                (
                    self._count,
                    group,
                    sortable(document.id),
                    sortable(document.source),
                    document.licence,
                    document.score,
                    hash_of(same),
                    hash_of(text),
                    hash_of(same, purpose=b"heldout"),
                    len(document.text),
                )
            )
            texts.append((self._count, text))
        self._database.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", rows)
        self._database.executemany("INSERT INTO texts VALUES (?, ?)", texts)

    def count(self, group: int) -> tuple[int, int]:
        """Documents and characters of a group."""
        (found,) = self._all("SELECT count(*), total(characters) FROM documents WHERE group_number = ?", group)
        return int(found[0]), int(found[1])

    def drop_duplicates(self) -> None:
        """Of equal documents leave one: of the first group, with the smallest (id, source, text)."""
        self._database.execute(
            """INSERT INTO duplicates SELECT number, CASE WHEN first_group = group_number THEN first_id END FROM (
                SELECT number, group_number, row_number() OVER same AS place,
                    first_value(group_number) OVER same AS first_group, first_value(id) OVER same AS first_id
                FROM documents WINDOW same AS (PARTITION BY hash ORDER BY group_number, id, source, exact, number))
            WHERE place > 1"""
        )

    def duplicates(self, group: int) -> Iterator[tuple[Document, str | None]]:
        """What `drop_duplicates` took out of a group, with the id of what stays; None for one of another group."""
        for row in self._all(
            """SELECT id, text, source, licence, score, of FROM duplicates
               JOIN documents USING (number) JOIN texts USING (number) WHERE group_number = ? ORDER BY number""",
            group,
        ):
            yield _document(*row[:5]), None if row[5] is None else text_of(row[5])

    def forget_duplicates(self) -> None:
        """Remove for good what `drop_duplicates` took out."""
        for table in ("documents", "texts"):
            self._database.execute(f"DELETE FROM {table} WHERE number IN (SELECT number FROM duplicates)")

    def documents(self, group: int) -> Iterator[tuple[int, Document]]:
        """The documents of a group with their numbers."""
        for number, *row in self._all(
            """SELECT number, id, text, source, licence, score FROM documents JOIN texts USING (number)
               WHERE group_number = ? ORDER BY number""",
            group,
        ):
            yield number, _document(*row)

    def set_sizes(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Note how large documents, given by their numbers, are in the unit that `total` and pieces count in."""
        self._database.executemany(
            "UPDATE documents SET size = ? WHERE number = ?", ((size, number) for number, size in sizes)
        )

    def set_tokens(self, tokens: Iterable[tuple[int, Tokens]]) -> None:
        """Note what documents, given by their numbers, are as tokens; so many is their size."""
        for number, found in tokens:
            self._database.execute("INSERT INTO tokens VALUES (?, ?)", (number, found.tobytes()))
            self.set_sizes([(number, len(found))])

    def total(self, group: int) -> int:
        """The size of a group's documents together."""
        ((size,),) = self._all("SELECT total(size) FROM documents WHERE group_number = ?", group)
        return int(size)

    def larger(self, group: int, limit: float) -> Iterator[tuple[int, str, int]]:
        """Number, text and size of the documents that are larger than `limit`."""
        for number, text, size in self._all(
            """SELECT number, text, size FROM documents JOIN texts USING (number)
               WHERE group_number = ? AND size > ? ORDER BY number""",
            group,
            limit,
        ):
            yield number, text_of(text), size

    def _all(self, question: str, *values: object) -> Iterator[tuple[Any, ...]]:
        return iter(self._database.execute(question, values))


@contextmanager
def spooled(path: Path) -> Iterator[Spool]:
    """A new spool in the file `path`, which is removed at the end.

    Raises BurnishError where the disk cannot hold it.
    """
    try:
        database = sqlite3.connect(path, isolation_level=None)
        try:
            for pragma in (
                f"page_size = {_PAGE_BYTES}",
                f"cache_size = -{CACHE_KIB}",
                "journal_mode = OFF",
                "synchronous = OFF",
                "locking_mode = EXCLUSIVE",
                "temp_store = FILE",
            ):
                database.execute(f"PRAGMA {pragma}")
            database.executescript(_SCHEMA + "BEGIN")
            yield Spool(database)
        finally:
            database.close()
    except sqlite3.Error as error:
        raise BurnishError(f"{path}: the documents cannot be kept there while the corpus is made: {error}") from error
    finally:
        path.unlink(missing_ok=True)


def _document(identity: object, text: object, source: object, licence: object, score: object) -> Document:
    return Document(
        text_of(identity),
        text_of(text) if text else "",
        text_of(source),
        None if licence is None else str(licence),
        score if isinstance(score, float) else None,
    )
