"""The rules of a query in the grammar of `burnish.rewards.sql_grammar`, whatever the database.

Words are apart by `SPACE`, where nothing else is between them; `w` is one where none is needed.
"""

from collections.abc import Iterator

from burnish.rewards.sql_schema import SqlSchema

_TYPES = (
    "bigint boolean date double float hugeint int integer interval real smallint text time timestamp tinyint varchar"
)
TYPES = _TYPES.split()
_UNITS = "year month day hour minute second quarter week"
_PARTS = f"{_UNITS} dow isodow doy epoch decade century"
_SPECIAL = "coalesce nullif substring trim"
"""Functions whose names DuckDB keeps for itself."""
_WINDOWS = "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value"
_KEYWORDS = (
    "select distinct from where group by all having qualify order limit offset as and or not is null in between like "
    "ilike case when then else end cast extract exists over partition asc desc nulls first last cross on using filter "
    "true false interval join"
)

SHARED = r"""
start: statement w | "```sql\n" statement "\n```"
statement: query (w ";")?
query: plain | united
united: core (SPACE SET SPACE core)+ (SPACE ORDER SPACE BY SPACE position (w "," w position)*)? limit?
position: INT direction?
direction: SPACE (ASC | DESC) (SPACE NULLS SPACE (FIRST | LAST))?
limit: SPACE LIMIT SPACE INT (SPACE OFFSET SPACE INT)?
apart: w "," w | SPACE CROSS SPACE JOIN SPACE
literal: NUMBER | STRING | TRUE | FALSE | NULL | TYPED SPACE STRING | INTERVAL SPACE (INT | STRING) SPACE UNIT
NUMBER: /[0-9]{1,15}(\.[0-9]{1,9})?/
INT: /[0-9]{1,9}/
STRING: /'([^'\n]|''){0,200}'/
SPACE: /[ \t]{1,4}|[ ]?\n[ \t]{0,12}/
w: SPACE?
JOINED: /(?i:((inner|(left|right|full)( outer)?) )?join)/
SET: /(?i:(union|except|intersect)( all)?)/
COMPARE: /=|<>|!=|<=|>=|<|>/
SIZED: /(?i:decimal|numeric|varchar)\([0-9]{1,2}\)/
"""

SCOPE = r"""
plain_@: core_@ (SPACE ORDER SPACE BY SPACE (sort_@ (w "," w sort_@)* | ALL direction?))? limit?
core_@: SELECT SPACE (DISTINCT SPACE)? item_@ (w "," w item_@)* SPACE FROM SPACE from_@ rows_@ groups_@
rows_@: (SPACE WHERE SPACE any_@)?
groups_@: (SPACE GROUP SPACE BY SPACE (ALL | keys_@))? (SPACE HAVING SPACE any_@)? (SPACE QUALIFY SPACE any_@)?
item_@: "*" | any_@ (SPACE AS SPACE NAME)?
keys_@: any_@ (w "," w any_@)*
sort_@: any_@ direction?
any_@: both_@ (SPACE OR SPACE both_@)*
both_@: not_@ (SPACE AND SPACE not_@)*
not_@: NOT SPACE not_@ | test_@ | EXISTS w "(" w query w ")"
test_@: sum_@ (w COMPARE w sum_@ | SPACE IS SPACE (NOT SPACE)? NULL | SPACE (NOT SPACE)? set_@)?
set_@: IN w "(" w (list_@ | query) w ")" | BETWEEN SPACE sum_@ SPACE AND SPACE sum_@ | (LIKE | ILIKE) SPACE sum_@
sum_@: product_@ (w ("+" | "-" | "||") w product_@)*
product_@: cast_@ (w ("*" | "/" | "//" | "%") w cast_@)*
cast_@: "-"? atom_@ (w "::" w (TYPE | SIZED))*
atom_@: COLUMN_@?alias | literal | call_@ | "(" w any_@ w ")" | "(" w query w ")" | case_@ | changed_@
case_@: CASE (SPACE WHEN SPACE any_@ SPACE THEN SPACE any_@)+ (SPACE ELSE SPACE any_@)? SPACE END
changed_@: CAST w "(" w any_@ SPACE AS SPACE (TYPE | SIZED) w ")" | EXTRACT w "(" w PART SPACE FROM SPACE any_@ w ")"
call_@: FUNCTION w "(" w list_@? w ")" | AGGREGATE w "(" w summed_@ w ")" filter_@? over_@? | window_@
window_@: WINDOW w "(" w list_@? w ")" over_@
summed_@: "*" | (DISTINCT SPACE)? list_@ (SPACE ORDER SPACE BY SPACE sort_@)?
list_@: any_@ (w "," w any_@)*
filter_@: SPACE FILTER w "(" w WHERE SPACE any_@ w ")"
over_@: SPACE OVER w "(" w (PARTITION SPACE BY SPACE keys_@)? (w ORDER SPACE BY SPACE sort_@ (w "," w sort_@)*)? w ")"
"""
"""The rules of one scope: `@` is its name, `?alias` where a name that the query has given may stand."""


def terminals(schema: SqlSchema) -> Iterator[str]:
    """The words of the language, and those that the schema decides."""
    yield from (f"{word.upper()}: /(?i:{word})/" for word in _KEYWORDS.split())
    for name, words in (
        ("TYPE", TYPES),
        ("PART", _PARTS.split()),
        ("TYPED", ["date", "timestamp", "time"]),
        ("UNIT", [unit + s for unit in _UNITS.split() for s in ("", "s")]),
        ("FUNCTION", [*schema.functions, *_SPECIAL.split()]),
        ("AGGREGATE", schema.aggregates),
        ("WINDOW", _WINDOWS.split()),
    ):
        yield f"{name}: /(?i:{'|'.join(words)})/"
    kept = "|".join(sorted(schema.reserved | set(TYPES)))
    yield f"NAME: /[a-zA-Z_][a-zA-Z0-9_]{{0,40}}/ & ~/(?i:{kept})/"
