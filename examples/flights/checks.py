"""Whether a gold query has an answer worth asking for; every query is executed before its question is kept."""

import re

import duckdb

_LIMIT = re.compile(
    r" order by (?P<key>count\(distinct \w+\)|\S+(?: - \S+)?)(?P<desc> desc)?(?: limit (?P<limit>\d+))?$"
)


class Checks:
    """Checks against the database behind `connection`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def worth_asking(self, sql: str, *, sorts: bool, max_rows: int, holes: bool = False) -> bool:
        """Whether the result is non-empty, of modest size, and fixed by the question (no ties where it `sorts`).

        `holes`: whether some values may be NULL (all may not).
        """
        rows = self._connection.execute(sql).fetchmany(max_rows + 1)
        if not rows or len(rows) > max_rows:
            return False
        missing = [value is None for row in rows for value in row]
        if any(missing) and not holes:
            return False
        if all(row[-1] is None for row in rows):
            return False
        if all(value == 0 for row in rows for value in row):
            return False  # "none" is the answer to many wrong queries too
        return not (sorts and self._tied(sql))

    def _tied(self, sql: str) -> bool:
        """Whether two of the rows shown, or the last one and the first one cut off, share a sort key."""
        match = _LIMIT.search(sql)
        if match is None:
            raise ValueError(f"cannot read the order of {sql!r}")
        key, limit = match["key"], match["limit"]
        longer = sql if limit is None else f"{sql[: match.start('limit')]}{int(limit) + 1}"
        if key.isdigit():
            position = int(key) - 1
        else:
            longer = longer.replace(" from ", f", {key} from ", 1)  # behind the columns, which `group by 1` counts
            position = -1
        keys = [row[position] for row in self._connection.execute(longer).fetchall()]
        return len(set(keys)) < len(keys)
