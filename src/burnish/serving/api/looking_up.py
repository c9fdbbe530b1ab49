"""Where the answer to a conversation is looked up: what its question wants, passages, solved examples, tables."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from burnish.retrieval.intents import Intent
from burnish.retrieval.routing import SHOTS, ranking_of
from burnish.rewards.sql_text import extract_sql
from burnish.serving.api.served import Served
from burnish.text.chat import Message

_SHOWN_ROWS = 30
"""Rows of a query's result that are shown."""


def wanted(served: Served, messages: list[Message]) -> Intent | None:
    """What the last question wants; None without intents, and where the last message is no question."""
    question = messages[-1].get("content")
    if served.router is None or messages[-1]["role"] != "user" or not isinstance(question, str):
        return None
    return served.router.of(question)


def grounded(
    served: Served, messages: list[Message], intent: Intent | None = None
) -> tuple[list[Message], list[dict[str, Any]]]:
    """The conversation with passages before its last question, and what these are; as it is without an index.

    intent: where to look; what has solved examples has them as turns before the question.
    """
    question = messages[-1].get("content")
    if messages[-1]["role"] != "user" or not isinstance(question, str):
        return messages, []
    if served.examples is not None and (intent is None or "examples" in intent.ways):
        shots: list[Message] = []
        for asked, answered in served.examples.like(question, SHOTS):
            shots += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        start = 1 if messages[0]["role"] == "system" else 0
        messages = [*messages[:start], *shots, *messages[start:]]
    passages = served.passages
    if passages is not None and intent is not None:
        looked, ranking = ranking_of(intent, passages.ranking)
        passages = replace(passages, ranking=ranking) if looked else None
    if passages is None:
        return messages, []
    room = served.context // 2
    found = passages.ground(question, lambda text: len(served.tokenizer.encode(text)), room=room)
    cited = [{"document": hit.document, "heading": hit.heading, "text": hit.text} for hit in found.hits]
    last = cast("Message", {**messages[-1], "content": found.prompt})
    return [*messages[:-1], last], cited


def shown_table(served: Served, answer: str) -> dict[str, Any] | None:
    """What the query of an answer returns, for a person to see; None where nothing runs queries."""
    query = None if served.tables is None else extract_sql(answer)
    if served.tables is None or not query:
        return None
    result = served.tables.execute(query)
    if result.error is not None:
        return table_of(["error"], [[result.error]])
    return table_of(result.columns, result.rows)


def table_of(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A result as a page shows it: so many rows, and how many there are."""
    shown = [[_cell(value) for value in row] for row in rows[:_SHOWN_ROWS]]
    note = f"{_SHOWN_ROWS} of {len(rows):,} rows" if len(rows) > _SHOWN_ROWS else ""
    return {"columns": list(columns), "rows": shown, "note": note}


def _cell(value: object) -> Any:
    """A value of a result as JSON has it, which knows neither NaN nor infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
