"""A row that knows which of its keys were used, so that nothing is left out without a word."""

from collections.abc import Mapping
from typing import Any

from burnish.datasets.bad_rows import BadRowError
from burnish.datasets.media import is_said
from burnish.datasets.messages import hint

LABELS = ("task_type", "provenance")
"""What a row may say of itself, for a person or a report: nothing is taught by it, and it is no mistake."""


class Fields(dict[str, Any]):
    """The keys of a row. `row[key]` uses a key; `row.get(key)` only looks at it.

    columns: names of Burnish and those of the file, such as `{"prompt": "question"}`. A column keeps its old name too,
    because a verifier may read it.
    """

    def __init__(self, row: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> None:
        super().__init__(row)
        self.used: set[str] = set()
        self._hidden: list[str] = []
        for known, column in (columns or {}).items():
            if column not in row:
                raise BadRowError(f'no column "{column}"{hint(column, row)}; the row has {", ".join(map(repr, row))}')
            self.used.add(column)
            if known != column and is_said(row.get(known)):
                self._hidden.append(known)
            self[known] = row[column]

    def __getitem__(self, key: str) -> Any:
        self.used.add(key)
        return super().__getitem__(key)

    def unused(self) -> list[str]:
        """Return the keys that say something and that nothing has used."""
        hidden = [f'{key} (columns takes another for "{key}")' for key in self._hidden]
        known = {*self.used, *LABELS}
        return [key for key, value in self.items() if key not in known and is_said(value)] + hidden


def present(row: Mapping[str, Any], key: str) -> bool:
    return row.get(key) is not None


def use(row: Mapping[str, Any], key: str) -> None:
    """Say that a key was used after it was looked at."""
    if isinstance(row, Fields):
        row.used.add(key)
