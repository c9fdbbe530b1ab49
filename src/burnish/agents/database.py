"""A database as a tool: read statements of a model, through the sandbox alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.agents.tool import Shown, Tool
from burnish.errors import BurnishError
from burnish.rewards.sql_sandbox import SqlSandbox

QUERY = "query"
"""What the tool is called, and its argument."""
PARAMETERS = {
    "type": "object",
    "properties": {QUERY: {"type": "string"}},
    "required": [QUERY],
    "additionalProperties": False,
}
SHOWN_ROWS = 20


def database_tool(sandbox: SqlSandbox, *, name: str = "query_database") -> Tool:
    """A tool that runs one read statement of DuckDB's SQL and gives its rows; writing and files are refused there."""

    def run(arguments: Mapping[str, Any]) -> Shown:
        result = sandbox.execute(arguments[QUERY])
        if result.error is not None:
            raise BurnishError(result.error)
        return Shown(table_text(result.columns, result.rows), result.columns, result.rows)

    return Tool(name, "Run a DuckDB SQL query and get its rows.", PARAMETERS, run, str(sandbox.database))


def table_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A result in few words: a line of names, a line a row, how many more there are."""
    lines = [" | ".join(columns), *(" | ".join(map(str, row)) for row in rows[:SHOWN_ROWS])]
    more = len(rows) - SHOWN_ROWS
    return "\n".join([*lines, f"({more} more rows)"] if more > 0 else lines if rows else [*lines, "(no rows)"])
