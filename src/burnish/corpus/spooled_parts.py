"""The parts of spooled documents that are trained on or held out: whole documents, or runs of their pieces.

The tables are those of `burnish.corpus.spool`.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from burnish.corpus.deduplicate import folded, hash_of

PARTS = 1 << 24
"""Parts that a document may have: the place of a part in the order of reading is its document's number times this."""
Tokens = npt.NDArray[np.int32]
_ORDERS = {
    "key": "key",
    "size": "parts.size, key",
    "size DESC": "parts.size DESC, key",
    "score": "score, key",
    "score DESC": "score DESC, key",
}


class Part(NamedTuple):
    """A document, or a part of one, as tokens. source: its document's."""

    source: str
    tokens: Tokens


class Parts:
    """What the documents of a spool are parted into. A part's key is its place in the order of reading."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add_pieces(self, number: int, pieces: Iterable[tuple[str, int]]) -> None:
        """Cut a document into pieces, each with its size, of which some may be held out."""
        self._database.executemany(
            "INSERT INTO pieces VALUES (?, ?, ?, ?, ?)",
            (
                (number, place, hash_of(folded(text), purpose=b"heldout"), size, sortable(text))
                for place, (text, size) in enumerate(pieces)
            ),
        )

    def by_hash(self, group: int) -> Iterator[tuple[int, int, int]]:
        """Number, place and size of all pieces and uncut documents of a group, by their hash."""
        return self._all(
            """SELECT number, place, size FROM (
                SELECT heldout_hash AS hash, id, source, exact, number, 0 AS place, size FROM documents
                    WHERE group_number = ?1 AND number NOT IN (SELECT number FROM pieces)
                UNION ALL
                SELECT pieces.hash, id, source, exact, number, place, pieces.size FROM pieces
                    JOIN documents USING (number) WHERE group_number = ?1)
            ORDER BY hash, id, source, exact, number, place""",
            group,
        )

    def n_pieces(self, group: int) -> int:
        """How many `by_hash` gives."""
        ((whole,),) = self._all(
            """SELECT count(*) FROM documents WHERE group_number = ? AND number NOT IN (SELECT number FROM pieces)""",
            group,
        )
        ((cut,),) = self._all("SELECT count(*) FROM pieces JOIN documents USING (number) WHERE group_number = ?", group)
        return int(whole) + int(cut)

    def hold_out(self, pieces: Iterable[tuple[int, int]]) -> None:
        """Mark pieces, or documents by place 0, as held out."""
        self._database.executemany("INSERT INTO held VALUES (?, ?)", pieces)

    def part_whole_documents(self, group: int) -> None:
        """Make a part of each document of a group that is not cut."""
        self._database.execute(
            f"""INSERT INTO parts SELECT number * {PARTS}, EXISTS (SELECT 1 FROM held WHERE held.number =
                documents.number AND place = 0), size FROM documents
                WHERE group_number = ? AND number NOT IN (SELECT number FROM pieces) ORDER BY number""",
            (group,),
        )

    def cut_documents(self, group: int) -> list[int]:
        """Numbers of the documents that are in pieces."""
        found = self._all(
            """SELECT DISTINCT number FROM pieces JOIN documents USING (number)
               WHERE group_number = ? ORDER BY number""",
            group,
        )
        return [number for (number,) in found]

    def pieces(self, number: int) -> Iterator[tuple[bool, str]]:
        """The pieces of a document: whether each is held out, and its text."""
        for place, text in self._all("SELECT place, text FROM pieces WHERE number = ? ORDER BY place", number):
            held = self._database.execute("SELECT 1 FROM held WHERE number = ? AND place = ?", (number, place))
            yield held.fetchone() is not None, text_of(text)

    def add_parts(self, number: int, parts: Iterable[tuple[int, bool, str | None]]) -> None:
        """Make parts of a document: the number of each, whether it is held out, and its text unless it is the whole."""
        for part, held, text in parts:
            key = number * PARTS + part
            self._database.execute(
                "INSERT INTO parts SELECT ?, ?, size FROM documents WHERE number = ?", (key, held, number)
            )
            if text is not None:
                self._database.execute("INSERT INTO part_texts VALUES (?, ?)", (key, sortable(text)))

    def texts(self, group: int, *, held: bool = False) -> Iterator[str]:
        """The texts of a group that are trained on, or held out, in the order of reading."""
        return (text for _, text in self._texts(group, "held" if held else "NOT held"))

    def without_tokens(self, group: int) -> Iterator[tuple[int, str]]:
        """Key and text of the parts whose tokens are not known, in the order of reading."""
        return self._texts(
            group,
            "(part_texts.key IS NOT NULL OR NOT EXISTS (SELECT 1 FROM tokens WHERE tokens.number = documents.number))",
        )

    def _texts(self, group: int, condition: str) -> Iterator[tuple[int, str]]:
        for key, text in self._all(
            f"""SELECT key, coalesce(part_texts.text, texts.text) FROM parts LEFT JOIN part_texts USING (key)
                CROSS JOIN documents ON documents.number = key / {PARTS} CROSS JOIN texts USING (number)
                WHERE group_number = ? AND {condition} ORDER BY key""",
            group,
        ):
            yield key, text_of(text)

    def set_part_tokens(self, tokens: Iterable[tuple[int, Tokens]]) -> None:
        """Note what parts, given by their keys, are as tokens."""
        for key, found in tokens:
            self._database.execute("INSERT INTO part_tokens VALUES (?, ?)", (key, found.tobytes()))
            self._database.execute("UPDATE parts SET size = ? WHERE key = ?", (len(found), key))

    def n_parts(self, group: int, *, held: bool) -> tuple[int, int]:
        """How many parts there are, and how many of them have tokens."""
        ((count, filled),) = self._all(
            f"""SELECT count(*), total(parts.size > 0) FROM parts
                CROSS JOIN documents ON documents.number = key / {PARTS}
                WHERE group_number = ? AND held = ?""",
            group,
            held,
        )
        return int(count), int(filled)

    def sources(self, group: int, at_most: int) -> list[str]:
        """The names of the sources that are trained on in their order, or the first so many."""
        found = self._all(
            f"""SELECT DISTINCT source FROM parts CROSS JOIN documents ON documents.number = key / {PARTS}
                WHERE group_number = ? AND NOT held ORDER BY source LIMIT ?""",
            group,
            at_most,
        )
        return [text_of(name) for (name,) in found]

    def unscored(self, group: int) -> tuple[str, str] | None:
        """Id and source of a document that is trained on and has no score."""
        found = self._all(
            f"""SELECT id, source FROM parts CROSS JOIN documents ON documents.number = key / {PARTS}
                WHERE group_number = ? AND NOT held AND score IS NULL ORDER BY key LIMIT 1""",
            group,
        )
        return next(((text_of(identity), text_of(source)) for identity, source in found), None)

    def keys(self, group: int, *, held: bool, by: str = "key") -> Iterator[int]:
        """The keys of a group's parts that are held out or not. by: `key`, `size` or `score`, or ` DESC` behind it."""
        for (key,) in self._all(
            f"""SELECT key FROM parts
                CROSS JOIN documents ON documents.number = key / {PARTS}
                WHERE group_number = ? AND held = ? ORDER BY {_ORDERS[by]}""",
            group,
            held,
        ):
            yield key

    def part(self, key: int) -> Part:
        """The part of a key."""
        ((source, tokens),) = self._all(
            f"""SELECT source, coalesce(part_tokens.tokens, tokens.tokens) FROM parts LEFT JOIN part_tokens USING (key)
                JOIN documents ON documents.number = key / {PARTS} LEFT JOIN tokens USING (number) WHERE key = ?""",
            key,
        )
        return Part(text_of(source), np.frombuffer(tokens, dtype=np.int32))

    def _all(self, question: str, *values: object) -> Iterator[tuple[Any, ...]]:
        return iter(self._database.execute(question, values))


def sortable(text: str) -> bytes:
    """Bytes that sort as the text does, whatever it has instead of characters."""
    return text.encode(errors="surrogatepass")


def text_of(data: object) -> str:
    assert isinstance(data, bytes)
    return data.decode(errors="surrogatepass")
