"""A grammar of DuckDB queries that name what a database has and nothing else, for llguidance.

A subset of the language: SELECT with joins, conditions, grouping, windows, set operations, and subqueries that do not
refer to the query around them. What it lets through parses, and every table, column and function in it is there.
It leaves out common table expressions, subqueries in FROM, a table joined to itself, names of a table in a query but
its own and its initials, and nested types.

Notable choices:
- a query is read within a *scope*, what its FROM names: one table, two that are joined, or more. Within the first two
  no other table's columns are let through, though FROM comes after most of them: the parser follows every scope that
  still can be;
- scopes of two are made where there are few tables; else, and of three, the columns of all tables are let through;
- a name that the query gives itself (`count(*) as n`) exists from then on: the grammar is made anew with it.

Format: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

from burnish.generation.grammar import Grammar, Grammars
from burnish.rewards.sql_rules import SCOPE, SHARED, TYPES, terminals
from burnish.rewards.sql_schema import SqlSchema

_PAIRED_TABLES = 6
_OWN_SCOPES = 60
_JOIN = "SPACE JOINED SPACE"


def sql_grammar(schema: SqlSchema, aliases: Sequence[str] = ()) -> str:
    """The grammar. aliases: names that the query has given to what it selects, as `named` finds them."""
    names = _Names(schema)
    scopes = [_scope(names, number, called) for number, called in enumerate(names.scopes())]
    every = range(len(scopes) + 1)
    rules = [SHARED, *terminals(schema), *names.tables(), *scopes, _every_table(names, len(scopes))]
    rules += [f"{kind}: {' | '.join(f'{kind}_{scope}' for scope in every)}" for kind in ("plain", "core")]
    for scope in every:
        rules.append(SCOPE.replace("@", str(scope)).replace("?alias", " | ALIAS" if aliases else ""))
    if aliases:
        rules.append(f"ALIAS: /{_any(aliases)}/")
    return "\n".join([*rules, ""])


def schema_grammar(grammars: Grammars, schema: SqlSchema) -> Grammar:
    """The grammar for a model. Raises ValueError where the schema is too large for llguidance."""
    return grammars.growing(lambda aliases: sql_grammar(schema, aliases), named)


def named(text: str) -> tuple[str, ...]:
    """The names that a query gives so far, in order; one whose end is not certain is not among them."""
    found = re.findall(r"\bas\s+([a-z_]\w*)\b(?=.)", text, flags=re.IGNORECASE | re.DOTALL)
    return tuple(dict.fromkeys(name.lower() for name in found if name.lower() not in TYPES))


@dataclass(frozen=True)
class _Names:
    """How a schema's names are written."""

    schema: SqlSchema

    def scopes(self) -> Iterator[dict[str, str]]:
        """What each FROM of one or two tables calls them: by their names, or by their initials."""
        tables = list(self.schema.tables)
        if len(tables) > _OWN_SCOPES:
            return
        for group in [(table,) for table in tables] + (
            list(combinations(tables, 2)) if len(tables) <= _PAIRED_TABLES else []
        ):
            yield dict.fromkeys(group, "")
            initials = [_initials(table) for table in group]
            if len(set(initials)) == len(group) and not self.schema.reserved & set(initials):
                yield dict(zip(group, initials, strict=True))

    def tables(self) -> Iterator[str]:
        for number, table in enumerate(self.schema.tables):
            yield f"TABLE_{number}: /{self.table(table)}/"

    def table(self, table: str) -> str:
        """An expression for a table's name."""
        return r"\.".join(self.one(part) for part in table.split("."))

    def place(self, table: str) -> int:
        return list(self.schema.tables).index(table)

    def one(self, name: str) -> str:
        """An expression for a name: in any case, or in quotes, which a word that SQL keeps for itself needs."""
        quoted = re.escape('"' + name.replace('"', '""') + '"').replace("/", r"\/")
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in self.schema.reserved
        return f"((?i:{name})|{quoted})" if plain else f"({quoted})"

    def some(self, names: Iterable[str]) -> str:
        return "|".join(self.one(name) for name in dict.fromkeys(names))

    def columns(self, called: dict[str, str]) -> str:
        """An expression for the columns of tables, alone or behind what a query calls the table."""
        of = self.schema.tables
        alone = self.some(column for table in called for column in of[table])
        return "|".join(
            [alone, *(rf"{name or self.table(table)}\.({self.some(of[table])})" for table, name in called.items())]
        )


def _scope(names: _Names, scope: int, called: dict[str, str]) -> str:
    """A scope's columns, and what its FROM says."""
    rules = [f"COLUMN_{scope}: /{names.columns(called)}/"]
    written = {}
    for table, name in called.items():
        written[table] = f"TABLE_{names.place(table)}"
        if name:
            written[table] += f' SPACE (AS SPACE)? "{name}"'
    if len(called) == 1:
        return "\n".join([*rules, f"from_{scope}: {next(iter(written.values()))}"])
    first, second = (names.schema.tables[table] for table in called)
    rules.append(_joined(names, scope, [column for column in first if column in second]))
    froms = [f"{written[a]} joined_{scope} {written[b]} on_{scope}" for a, b in permutations(called)]
    froms += [f"{written[a]} apart {written[b]}" for a, b in permutations(called)]
    return "\n".join([*rules, f"from_{scope}: {' | '.join(froms)}"])


def _every_table(names: _Names, scope: int) -> str:
    """The scope of joins of any tables."""
    tables = names.schema.tables
    columns = [column for of in tables.values() for column in dict.fromkeys(of)]
    shared = [column for column in dict.fromkeys(columns) if columns.count(column) > 1]
    some = " | ".join(f"TABLE_{names.place(table)}" for table in tables)
    fewest = 0 if len(tables) > _OWN_SCOPES else 2 if 2 < len(tables) <= _PAIRED_TABLES else 1
    return "\n".join(
        [
            f"COLUMN_{scope}: /{names.columns(dict.fromkeys(tables, ''))}/",
            _joined(names, scope, shared),
            f"table: {some}",
            f"from_{scope}: table (joined_{scope} table on_{scope} | apart table){{{fewest},}}",
        ]
    )


def _joined(names: _Names, scope: int, shared: Sequence[str]) -> str:
    """How tables are joined: by columns that have one name in both, or by a condition."""
    using = f' | SPACE USING w "(" w SHARED_{scope} (w "," w SHARED_{scope})* w ")"' if shared else ""
    rules = [f"joined_{scope}: {_JOIN}", f"on_{scope}: SPACE ON SPACE any_{scope}{using}"]
    return "\n".join([*rules, f"SHARED_{scope}: /{names.some(shared)}/"] if shared else rules)


def _initials(table: str) -> str:
    return "".join(part[0] for part in re.findall(r"[A-Za-z]+", table.split(".")[-1])).lower() or "t"


def _any(words: Iterable[str]) -> str:
    return f"(?i:{'|'.join(words)})"
