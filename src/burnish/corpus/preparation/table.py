"""Documents as columns: what every step of preparation takes and returns, and what is written.

| column    |                                                                                                   |
| --------- | ------------------------------------------------------------------------------------------------- |
| `id`      | the document's own name, else a hash of its text                                                  |
| `text`    | the text as the steps so far have left it                                                         |
| `source`  | the source's name in the settings                                                                 |
| `origin`  | the file, and of files of rows the line, that it was read from                                    |
| `licence` | the source's, or the row's own; null where nobody said                                            |
| `hash`    | of the text as it was read: 16 bytes in hex                                                       |

Steps may add columns, such as `language`; a file of kept documents has `steps` too, the names of all that it passed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

SCHEMA = {
    "id": pl.String,
    "text": pl.String,
    "source": pl.String,
    "origin": pl.String,
    "licence": pl.String,
    "hash": pl.String,
}
REASONS = {"reason": pl.String, "detail": pl.String}
"""Columns of removed documents: one of a step's few fixed words, and what a person may want to know beside it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did with a batch: the documents that stay, possibly changed, and those it removed, with `REASONS`.

    A removed document has the columns of the batch that it was in, its text as it was before the step.
    counts: how many of each kind the step found, where it counts what is in the documents.
    """

    kept: pl.DataFrame
    removed: pl.DataFrame | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


def remove(batch: pl.DataFrame, reason: pl.Series, detail: pl.Series | None = None) -> Outcome:
    """Remove the documents that have a `reason`, one of a few fixed words; `detail` says more for a person to read."""
    marked = batch.with_columns(
        reason.cast(pl.String).alias("reason"),
        (pl.lit(None, pl.String) if detail is None else detail.cast(pl.String)).alias("detail"),
    )
    stays = pl.col("reason").is_null()
    return Outcome(marked.filter(stays).drop(*REASONS), marked.filter(~stays))


def batches(documents: Iterable[dict[str, str | None]], max_bytes: int) -> Iterator[pl.DataFrame]:
    """Documents in frames of about `max_bytes` of text; one that is larger has a frame of its own."""
    rows: list[dict[str, str | None]] = []
    size = 0
    for document in documents:
        length = len(document["text"] or "")
        if rows and size + length > max_bytes:
            yield pl.DataFrame(rows, schema=SCHEMA)
            rows, size = [], 0
        rows.append(document)
        size += length
    if rows:
        yield pl.DataFrame(rows, schema=SCHEMA)
