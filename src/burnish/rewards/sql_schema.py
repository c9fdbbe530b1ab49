"""What a database has that a query can name: tables with their columns, functions, and the words that SQL keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.errors import BurnishError
from burnish.rewards.sql_sandbox import SqlSandbox

_COLUMNS = (
    "select schema_name, table_name, column_name from duckdb_columns() where not internal "
    "and database_name = current_database() order by schema_name, table_name, column_index"
)
_FUNCTIONS = (
    "select distinct lower(function_name), function_type = 'aggregate' from duckdb_functions() "
    "where function_type in ('scalar', 'aggregate', 'macro') "
    "and regexp_full_match(function_name, '[a-zA-Z][a-zA-Z0-9_]*') "
    "and not regexp_matches(function_name, '^(icu_|collate_|pg_|has_|inet_)') "
    "and lower(function_name) not in (select keyword_name from duckdb_keywords() "
    "where keyword_category in ('reserved', 'column_name')) order by all"
)
"""Functions that work on values: not the database's own, nor those about sessions and privileges."""
_RESERVED = (
    "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function') order by all"
)
_NO_VALUES = (
    "nextval currval setval setseed sleep_ms write_log error invoke getvariable current_setting aggregate "
    "combine finalize apply filter reduce"
)
"""Functions that read or change something else, fail on purpose, or take a function."""


@dataclass(frozen=True)
class SqlSchema:
    """tables: the columns of each, both as they are called. reserved: words that are no plain name, in lower case.

    A table outside of the main schema is called `schema.table`. functions, aggregates: in lower case; apart.
    """

    tables: Mapping[str, Sequence[str]]
    functions: Sequence[str]
    aggregates: Sequence[str]
    reserved: frozenset[str]


def read_schema(sandbox: SqlSandbox) -> SqlSchema:
    """The schema of a sandbox's database. Raises BurnishError where it cannot be read, or has no table."""
    tables: dict[str, list[str]] = {}
    for schema, table, column in _rows(sandbox, _COLUMNS):
        tables.setdefault(table if schema == "main" else f"{schema}.{table}", []).append(column)
    if not tables:
        raise BurnishError(f"{sandbox.database}: no table in it, so there is nothing that a query could name")
    left_out = _NO_VALUES.split()
    found = [(name, bool(aggregate)) for name, aggregate in _rows(sandbox, _FUNCTIONS) if name not in left_out]
    aggregates = [name for name, aggregate in found if aggregate]
    functions = sorted({name for name, aggregate in found if not aggregate} - set(aggregates))
    return SqlSchema(tables, functions, aggregates, frozenset(word for (word,) in _rows(sandbox, _RESERVED)))


def _rows(sandbox: SqlSandbox, query: str) -> Sequence[tuple]:  # type: ignore[type-arg]
    result = sandbox.execute(query)
    if result.error is not None:
        raise BurnishError(f"{sandbox.database}: what it has could not be read: {result.error}")
    return result.rows
