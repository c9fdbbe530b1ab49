"""A DuckDB copy of a SQLite database, so that queries on it run in the sandbox.

DuckDB's own reader of SQLite is an extension that it would have to download; Python's `sqlite3` is always there, and
makes the same copy on every machine. Notable choices:

- A column's type is the one that all of its values have, since SQLite lets a column hold anything whatever it declares:
  integers are BIGINT, numbers DOUBLE, text VARCHAR, bytes BLOB. Declared dates and timestamps are DATE and TIMESTAMP
  where every value is one. Where the values are of several kinds the column is text (or bytes), and that is said.
- Views become tables of what they return: their SQL is SQLite's.
- The SQLite file is opened read-only.
"""

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError
from burnish.files import open_regular, sha256
from burnish.kept import read_json, write_json
from burnish.rewards.sql_sandbox import require_duckdb

_MAGIC = b"SQLite format 3\0"
_BATCH_ROWS = 20_000
_EXACT_WHOLE = 2**53
_VIEW_SECONDS = 120.0
"""Of processor time for the rows of a view, of which a recursive one may have no end."""
_DATE = r"\d{4}-\d{2}-\d{2}"
_TIMESTAMP = _DATE + r"([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?"


def is_sqlite(file: Path) -> bool:
    """Whether a file is a SQLite database."""
    try:
        with open_regular(file) as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except (BurnishError, OSError):
        return False


def duckdb_copy(file: Path, folder: Path, tell: Callable[[str], None]) -> Path:
    """The DuckDB copy of a SQLite file in `folder`, made unless it is there unchanged; named by the file's content.

    `tell` gets what could not be copied as it is. Raises BurnishError where SQLite cannot read the file.
    """
    require_duckdb()
    content = _digest(file)
    copy = folder / f"{content}.duckdb"
    note = copy.with_suffix(".json")
    remarks = _remarks(copy, note, content)
    if remarks is None:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{copy.name}.{os.getpid()}.tmp"
        unfinished.unlink(missing_ok=True)
        try:
            remarks = list(_convert(file, unfinished))
            unfinished.replace(copy)
            write_json(note, {"remarks": remarks, "copy": sha256(copy)}, owner=content)
        except sqlite3.Error as error:
            raise BurnishError(f"{file}: cannot be read as a SQLite database: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)
    for remark in remarks:
        tell(f"{file.name}: {remark}")
    return copy


def _remarks(copy: Path, note: Path, content: str) -> list[str] | None:
    """What was said when the copy was made; None where there is none, or it is not what was made any more."""
    try:
        kept = read_json(note, owner=content)
        return list(map(str, kept["remarks"])) if kept["copy"] == sha256(copy) else None
    except (BurnishError, KeyError, TypeError):
        return None


def _digest(file: Path) -> str:
    """The content of a SQLite file, with the changes that its write-ahead log still holds."""
    digest = hashlib.sha256()
    for part in (file, file.with_name(file.name + "-wal")):
        if part.is_file():
            with part.open("rb") as stream:
                while chunk := stream.read(2**20):
                    digest.update(chunk)
    return digest.hexdigest()[:32]


def _convert(file: Path, copy: Path) -> Iterator[str]:
    """Write the copy; yields what is not as it was."""
    import duckdb

    undecodable = [0]

    def text(data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            undecodable[0] += 1
            return data.decode(errors="replace")

    address = f"{file.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as source, closing(duckdb.connect(str(copy))) as target:
        source.execute("pragma trusted_schema = off")
        source.text_factory = text
        # Shadow tables hold what a virtual one is made of; older versions of SQLite do not tell them apart.
        listed = (
            "pragma_table_list where schema = 'main' and type <> 'shadow'"
            if sqlite3.sqlite_version_info >= (3, 37)
            else "sqlite_master where type in ('table', 'view')"
        )
        names = source.execute(
            f"select name, type from {listed} and substr(name, 1, 7) <> 'sqlite_' order by name"
        ).fetchall()
        for name, kind in names:
            end = time.process_time() + (_VIEW_SECONDS if kind == "view" else float("inf"))
            source.set_progress_handler(partial(_is_over, end), 100_000)
            try:
                yield from _copy_table(source, target, name)
            except (sqlite3.Error, duckdb.Error) as error:
                target.execute(f"drop table if exists {_quoted(name)}")
                late = f"its rows take longer than {_VIEW_SECONDS:g} s" if str(error) == "interrupted" else ""
                yield f"{name} is left out: {late or ' '.join(str(error).split())[:200]}"
        if undecodable[0]:
            yield f"{undecodable[0]:,} texts are not UTF-8; what could not be read of them is U+FFFD"


def _is_over(end: float) -> bool:
    """Whether this process has computed for longer."""
    return time.process_time() > end


def _copy_table(source: sqlite3.Connection, target: Any, table: str) -> Iterator[str]:
    """Copy a table or view; yields a remark for each column that is not what it may have been meant to be."""
    columns = source.execute("select name, type from pragma_table_xinfo(?) where hidden <> 1", (table,)).fetchall()
    types, mixed = [], set()
    for column, declared in columns:
        kind, remark = _column_type(source, table, column, declared.upper())
        types.append(kind)
        if remark:
            mixed.add(column)
            yield f"{table}.{column} {remark}"
    made = ", ".join(f"{_quoted(column)} {kind}" for (column, _), kind in zip(columns, types, strict=True))
    target.execute(f"create table {_quoted(table)} ({made})")
    wanted = ", ".join(_selected(column, kind) for (column, _), kind in zip(columns, types, strict=True))
    rows = source.execute(f"select {wanted} from {_quoted(table)}")
    fill = f"insert into {_quoted(table)} select " + ", ".join(f"unnest(?::{kind}[])" for kind in types)
    while batch := rows.fetchmany(_BATCH_ROWS):
        target.execute(fill, [list(values) for values in zip(*batch, strict=True)])
    for (column, declared), kind in zip(columns, types, strict=True):
        if kind == "VARCHAR" and column not in mixed and re.search("DATE|TIMESTAMP", declared.upper()):
            yield from _date_column(target, table, column, declared.upper())


def _column_type(source: sqlite3.Connection, table: str, column: str, declared: str) -> tuple[str, str]:
    """DuckDB's type for the values of a column, and what a person should know about it."""
    name, of = _quoted(column), _quoted(table)
    found = source.execute(f"select typeof({name}), count(*) from {of} group by 1 order by 1").fetchall()
    counts = {kind: count for kind, count in found if kind != "null"}
    if not counts:
        return _empty_type(declared), ""
    if counts.keys() == {"integer"}:
        return "BIGINT", ""
    if counts.keys() <= {"integer", "real"}:
        above = f"typeof({name}) = 'integer' and abs({name}) > {_EXACT_WHOLE}"
        (large,) = source.execute(f"select count(*) from {of} where {above}").fetchone()
        return "DOUBLE", f"is DOUBLE: {large:,} integers above 2^53 are rounded" if large else ""
    kind = "BLOB" if "blob" in counts else "VARCHAR"
    shares = ", ".join(f"{count:,} {stored}" for stored, count in counts.items())
    return kind, f"is {kind}: it holds {shares} values" if len(counts) > 1 else ""


def _empty_type(declared: str) -> str:
    """The type of a column without values, by what it declares (https://sqlite.org/datatype3.html, section 3.1)."""
    for word, kind in (
        ("INT", "BIGINT"),
        ("CHAR", "VARCHAR"),
        ("CLOB", "VARCHAR"),
        ("TEXT", "VARCHAR"),
        ("BLOB", "BLOB"),
        ("REAL", "DOUBLE"),
        ("FLOA", "DOUBLE"),
        ("DOUB", "DOUBLE"),
        ("TIMESTAMP", "TIMESTAMP"),
        ("DATETIME", "TIMESTAMP"),
        ("DATE", "DATE"),
        ("BOOL", "BIGINT"),
        ("NUM", "DOUBLE"),
        ("DEC", "DOUBLE"),
    ):
        if word in declared:
            return kind
    return "VARCHAR"


def _date_column(target: Any, table: str, column: str, declared: str) -> Iterator[str]:
    """Make a column of text that was declared as dates one of dates, if each value is one; else say so."""
    name, of = _quoted(column), _quoted(table)
    for kind, form in (("DATE", _DATE), ("TIMESTAMP", _TIMESTAMP)):
        if kind == "DATE" and re.search("DATETIME|TIMESTAMP", declared):
            continue
        unlike = f"not regexp_full_match({name}, '{form}') or try_cast({name} as {kind}) is null"
        (count,) = target.execute(f"select count(*) from {of} where {name} is not null and ({unlike})").fetchone()
        if not count:
            target.execute(f"alter table {of} alter {name} type {kind}")
            return
    yield f"{table}.{column} is VARCHAR: {count:,} of its values are no dates as SQLite writes them"


def _selected(column: str, kind: str) -> str:
    """How a column is read: as text or bytes where its values are of several kinds."""
    name = _quoted(column)
    return {"VARCHAR": f"cast({name} as text)", "BLOB": f"cast({name} as blob)"}.get(kind, name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
