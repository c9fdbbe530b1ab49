"""DuckDB's own documentation, which every installation carries in its catalog, as short readable entries.

One document per function (its overloads grouped, other names of it mentioned), per setting and per class of keywords.
Present values of settings are left out: they tell of the machine (threads, memory, paths), and the files must be the
same everywhere.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import duckdb

Document = dict[str, object]

_MAX_SIGNATURES = 4
_MAX_EXAMPLES = 3
_KINDS = {
    "scalar": "scalar function",
    "aggregate": "aggregate function",
    "window": "window function",
    "table": "table function",
    "macro": "macro",
    "table_macro": "table macro",
}
_KEYWORDS = {
    "reserved": "Reserved keywords of DuckDB cannot name a table or column unless they are quoted",
    "type_function": "These keywords of DuckDB may name a type or a function, but not a column",
    "column_name": "These keywords of DuckDB may name a column, but not a function",
}


def documents(connection: duckdb.DuckDBPyConnection) -> Iterator[Document]:
    """Documents on functions, settings and keywords, in a fixed order."""
    yield from _functions(connection)
    yield from _settings(connection)
    yield from _keywords(connection)


def _functions(connection: duckdb.DuckDBPyConnection) -> Iterator[Document]:
    """One document per function. A function under another name gets none of its own: it would say everything twice,
    and a copy in the held-out text would make the perplexity there look better than it is."""
    rows = connection.execute(
        "select function_name, function_type, alias_of, description, parameters, parameter_types, return_type, "
        "examples from duckdb_functions() where description is not null and schema_name in ('main', 'pg_catalog') "
        "and regexp_full_match(function_name, '[a-z0-9_]+') "
        "order by function_name, function_type, description, parameters, parameter_types, return_type"
    ).fetchall()
    described = {name for name, _, alias_of, *_ in rows if alias_of in (None, name)}
    aliases: dict[str, list[str]] = {}
    for name, _, alias_of, *_ in rows:
        if alias_of in described and name not in described and name not in aliases.setdefault(alias_of, []):
            aliases[alias_of].append(name)
    known = {alias for names in aliases.values() for alias in names}
    for (name, kind), group in groupby((row for row in rows if row[0] not in known), key=lambda row: (row[0], row[1])):
        yield {
            "id": f"duckdb/function/{name}/{kind}",
            "text": _function(name, _KINDS[kind], aliases.get(name, []), list(group)),
            "source": "duckdb functions",
        }


def _function(name: str, kind: str, aliases: Sequence[str], overloads: Sequence[tuple[object, ...]]) -> str:
    """One entry: what the function is for, how it is called and an example of it."""
    descriptions = _unique(_sentence(str(row[3])) for row in overloads)
    lines = [f"{name}: {kind} of DuckDB. {' '.join(descriptions)}"]
    if aliases:
        lines.append(f"It is also called {', '.join(aliases)}.")
    calls = _unique(_call(name, row[4], row[5], row[6]) for row in overloads)
    if len(calls) <= _MAX_SIGNATURES:
        lines.append("Call: " + "; ".join(calls) + ".")
    else:
        results = _unique(str(row[6]) for row in overloads if row[6])
        calls = _unique(f"{name}({', '.join(map(str, row[4] or ()))})" for row in overloads)
        types = f"for {len(overloads)} combinations of types"
        lines.append(f"Call: {'; '.join(calls)}, {types}; returns {_either(results)}.")
    examples = _unique(str(example) for row in overloads for example in (row[7] or ()))
    if examples:
        lines.append("Example: " + "; ".join(examples[:_MAX_EXAMPLES]))
    return "\n".join(lines)


def _call(name: str, parameters: object, types: object, result: object) -> str:
    """A signature such as `date_trunc(part VARCHAR, ts DATE) returns TIMESTAMP`."""
    names = list(parameters) if isinstance(parameters, list) else []
    kinds = list(types) if isinstance(types, list) else []
    arguments = ", ".join(f"{n} {k}" if k else str(n) for n, k in zip(names, kinds, strict=False))
    return f"{name}({arguments})" + (f" returns {result}" if result else "")


def _settings(connection: duckdb.DuckDBPyConnection) -> Iterator[Document]:
    rows = connection.execute(
        "select name, description, input_type from duckdb_settings() where length(description) > 0 order by name"
    ).fetchall()
    for name, description, kind in rows:
        text = f"{name}: setting of DuckDB, of type {kind}, changed with SET {name} = value. {_sentence(description)}"
        yield {"id": f"duckdb/setting/{name}", "text": text, "source": "duckdb settings"}


def _keywords(connection: duckdb.DuckDBPyConnection) -> Iterator[Document]:
    for category, meaning in _KEYWORDS.items():
        words = connection.execute(
            "select keyword_name from duckdb_keywords() where keyword_category = ? order by 1", [category]
        ).fetchall()
        text = f"{meaning}: {', '.join(word for (word,) in words)}."
        yield {"id": f"duckdb/keywords/{category}", "text": text, "source": "duckdb keywords"}


def _sentence(text: str) -> str:
    text = " ".join(text.replace("`", "").split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _either(words: Sequence[str]) -> str:
    shown = list(words[:_MAX_SIGNATURES])
    return " or ".join(shown) + (" or other types" if len(words) > len(shown) else "")


def _unique(items: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(items))
