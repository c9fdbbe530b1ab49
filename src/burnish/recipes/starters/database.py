"""The database starter: what a database holds, as a system prompt and as first questions about it."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import pathname2url

from burnish.errors import BurnishError
from burnish.files import open_regular

MAX_TABLES = 20
MAX_COLUMNS = 40
ASKED_COLUMNS = 3
_NUMBERS = ("INT", "DECIMAL", "NUMERIC", "DOUBLE", "FLOAT", "REAL")

_EXAMPLE = """
CREATE TABLE customers (id INTEGER, name VARCHAR, city VARCHAR);
INSERT INTO customers VALUES (1, 'Amsel', 'Bern'), (2, 'Birke', 'Graz'), (3, 'Cyan', 'Bern'), (4, 'Dohle', 'Kiel'),
  (5, 'Esche', 'Graz');
CREATE TABLE orders (id INTEGER, customer_id INTEGER, product VARCHAR, quantity INTEGER, price DECIMAL(8, 2), day DATE);
INSERT INTO orders SELECT i, 1 + i * 7 % 5, ['lamp', 'chair', 'desk', 'shelf'][1 + i * 3 % 4], 1 + i % 6,
  (25 + i * 13 % 90)::DECIMAL(8, 2), DATE '2026-01-01' + (i * 5 % 120)::INTEGER FROM range(1, 41) t(i);
"""


@dataclass(frozen=True)
class DatabaseTable:
    """A table and its columns: name and type."""

    name: str
    columns: tuple[tuple[str, str], ...]


def make_example(file: Path) -> None:
    """Write a small DuckDB database of customers and orders, unless the file is there."""
    import duckdb

    if file.exists():
        return
    with duckdb.connect(str(file)) as connection:
        connection.execute(_EXAMPLE)


def read_schema(file: Path) -> list[DatabaseTable]:
    """The tables of a DuckDB or SQLite file. Raises BurnishError for anything else, and where it has none."""
    with open_regular(file) as opened:
        is_sqlite = opened.read(16) == b"SQLite format 3\0"
    columns = _sqlite_columns(file) if is_sqlite else _duckdb_columns(file)
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in columns:
        tables.setdefault(table, []).append((column, kind.upper()))
    if not tables:
        raise BurnishError(f"{file}: has no table")
    return [DatabaseTable(name, tuple(found)) for name, found in tables.items()]


def _duckdb_columns(file: Path) -> list[Any]:
    import duckdb

    try:
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'main' ORDER BY table_name, ordinal_position"
            ).fetchall()
    except duckdb.Error as error:
        raise BurnishError(f"{file}: neither a DuckDB nor a SQLite database: {error}") from error


def _sqlite_columns(file: Path) -> list[Any]:
    try:
        with closing(sqlite3.connect(f"file:{pathname2url(str(file.resolve()))}?mode=ro", uri=True)) as connection:
            return connection.execute(
                "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c "
                "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name, c.cid"
            ).fetchall()
    except sqlite3.Error as error:
        raise BurnishError(f"{file}: cannot be read as a SQLite database: {error}") from error


def system_prompt(schema: list[DatabaseTable]) -> str:
    """What the model is told before every question: the task, and the tables with their columns."""
    lines = ["Answer with one DuckDB SQL query. Tables:"]
    for table in schema[:MAX_TABLES]:
        columns = ", ".join(f"{_name(column)} {kind}".strip() for column, kind in table.columns[:MAX_COLUMNS])
        lines.append(f"{_name(table.name)}({columns})")
    return "\n".join(lines)


def questions(schema: list[DatabaseTable]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows to learn from and to test with, simple ones about every table; the test words them otherwise."""
    train, test = [], []
    for table in schema[:MAX_TABLES]:
        name = _name(table.name)
        count = f"SELECT count(*) FROM {name}"
        train += [_row(f"How many rows are in {table.name}?", count), _row(f"Count the {table.name}.", count)]
        test.append(_row(f"What is the number of {table.name}?", count))
        for column, kind in table.columns[:ASKED_COLUMNS]:
            distinct = f"SELECT count(DISTINCT {_name(column)}) FROM {name}"
            train.append(_row(f"How many different values has {column} in {table.name}?", distinct))
            if any(number in kind for number in _NUMBERS):
                largest = f"SELECT max({_name(column)}) FROM {name}"
                train.append(_row(f"What is the largest {column} in {table.name}?", largest))
                test.append(_row(f"What is the highest {column} of the {table.name}?", largest))
            else:
                test.append(_row(f"How many distinct {column} are there in {table.name}?", distinct))
    return train, test


def _row(question: str, sql: str) -> dict[str, str]:
    return {"question": question, "sql": sql}


def _name(name: str) -> str:
    """A name as SQL writes it."""
    plain = name.isidentifier() and name.isascii() and name.lower() not in _reserved()
    return name if plain else '"' + name.replace('"', '""') + '"'


@cache
def _reserved() -> frozenset[str]:
    """The words of DuckDB's SQL that name nothing unless they are quoted."""
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'")
        return frozenset(word for (word,) in found.fetchall())
