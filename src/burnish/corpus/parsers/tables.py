"""Tables of cells: CSV and TSV files."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.corpus.parsers.limits import Part, UnreadableError


def table(path: Path) -> Iterator[Part]:
    """The rows of a table as JSON, for its reader to take the text from; of a row that is none, why, as JSON text."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else None
    csv.field_size_limit(64 << 20)
    with path.open(encoding="utf-8-sig", newline="") as file:
        sample = file.read(64 << 10)
        file.seek(0)
        try:
            dialect: Any = csv.Sniffer().sniff(sample, delimiters=delimiter or ",;\t|")
        except csv.Error:
            dialect = csv.excel_tab if delimiter else csv.excel
        of_row: list[str] = []

        def lines() -> Iterator[str]:
            for line in file:
                of_row.append(line)
                yield line

        # A row is passed on when the next one is there: the last one may be the rest of the table in one value.
        last: dict[str, str] | str | None = None
        of_last: list[str] = []
        rows = csv.DictReader(lines(), dialect=dialect)
        for row in rows:
            if last is not None:
                yield json.dumps(last), None
            if (more := row.pop(None, None)) is not None:
                width = len(rows.fieldnames or ())
                last = f"{width + len(more)} cells, where the first line names {width}"
            else:
                last = {str(key): value for key, value in row.items() if isinstance(value, str)}
            of_last = of_row.copy()
            of_row.clear()
        if last is not None:
            if not _closed(of_last, dialect):
                raise UnreadableError(
                    f"{path.suffix.lower()} file with a quote that is not closed",
                    f"in the row {''.join(of_last)[:60].strip()!r}: all that follows would be one value",
                )
            yield json.dumps(last), None


def _closed(lines: list[str], dialect: Any) -> bool:
    """Whether the lines of a row do not end within quotes."""
    try:
        list(csv.reader(lines, dialect=dialect, strict=True))
    except csv.Error as error:
        return "unexpected end" not in str(error)
    return True
