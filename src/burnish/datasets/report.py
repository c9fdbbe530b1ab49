"""What became of the rows of a data file: kept, cut, dropped, each with the reason.

Notable choices:
- a row that gives no example is dropped and named, and the others go on;
- an error waits until all rows were tried, so that it lists all that have one.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from burnish.corpus.records import Problems
from burnish.datasets.rows import RowPlace
from burnish.errors import DataError
from burnish.files import atomic_write_text


class Placed(Protocol):
    """A row that knows where it comes from, why it teaches nothing, if so, and which of its keys nothing reads."""

    @property
    def place(self) -> RowPlace: ...

    @property
    def fault(self) -> str | None: ...

    @property
    def unused(self) -> tuple[str, ...]: ...


Item = TypeVar("Item", bound=Placed)
Encoded = TypeVar("Encoded")


@dataclass(slots=True)
class Report:
    """What became of the rows: how many were kept, and file, line and reason of those that were not kept as they are.

    unit: what the rows become. cut: kept without their end. noted: kept, but the model reads something else than the
    row says. unused: for each file and key that nothing reads, the lines of the rows that have it.
    """

    unit: str = "examples"
    kept: int = 0
    dropped: list[tuple[str, int, str]] = field(default_factory=list)
    cut: list[tuple[str, int, str]] = field(default_factory=list)
    noted: list[tuple[str, int, str]] = field(default_factory=list)
    unused: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def summary(self, shown: int = 3) -> str:
        """Return a line on what was kept, and up to `shown` lines on each of what was dropped, cut and changed.

        A last line names the keys that nothing reads.
        """
        lines = [f"{self.kept} {self.unit} kept, {len(self.dropped)} dropped, {len(self.cut)} cut"]
        for verb, rows in (("dropped", self.dropped), ("cut", self.cut), ("kept", self.noted)):
            lines += [f"  {verb} {file}:{line}: {reason}" for file, line, reason in rows[:shown]]
            if len(rows) > shown:
                lines.append(f"  {verb} {len(rows) - shown} more" + (" with a remark" if verb == "kept" else ""))
        if self.unused:
            lines.append(f"  {unused_keys(self.unused)}")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write all that `summary` shows the beginning of: JSON lines of `file`, `line`, `action` and `reason`.

        A key that nothing reads has one line for each file, at the first of the rows that have it.
        """
        actions = (("dropped", self.dropped), ("cut", self.cut), ("kept", self.noted))
        rows = [(file, line, action, reason) for action, found in actions for file, line, reason in found]
        rows += [
            (file, lines[0], "unused", f'nothing reads the key "{key}", in {_rows(len(lines))}')
            for (file, key), lines in self.unused.items()
        ]
        names = ("file", "line", "action", "reason")
        lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in sorted(rows)]
        atomic_write_text(path, "".join(f"{line}\n" for line in lines))


def unused_keys(unused: Mapping[tuple[str, str], Sequence[int]]) -> str:
    """Return what tells a user which keys nothing reads, and in how many rows: `not read: id (in 3 rows)`."""
    counts: Counter[str] = Counter()
    for (_, key), lines in unused.items():
        counts[key] += len(lines)
    return "not read: " + ", ".join(f"{key} (in {_rows(count)})" for key, count in counts.most_common())


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


class DropError(Exception):
    """This row gives no example; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where the encoding of one row says what it did besides keeping the row as it is."""

    report: Report
    place: RowPlace

    def cut(self, reason: str) -> None:
        """The example lost its end."""
        self.report.cut.append((self.place.file, self.place.line, reason))

    def note(self, reason: str) -> None:
        """The example is not quite what the row says."""
        self.report.noted.append((self.place.file, self.place.line, reason))


def encode_all(
    rows: Iterable[Item], encode: Callable[[Item, Account], Encoded], unit: str = "examples"
) -> tuple[list[Encoded], Report]:
    """Encode every row; keep the account of what was dropped, cut and changed, in `unit`s.

    Raises DataError that lists the rows for which `encode` does.
    """
    examples = []
    report, problems = Report(unit), Problems()
    for row in rows:
        place: RowPlace = row.place
        for key in row.unused:
            report.unused.setdefault((place.file, key), []).append(place.line)
        try:
            if row.fault is not None:
                raise DropError(row.fault)
            examples.append(encode(row, Account(report, place)))
        except DropError as error:
            report.dropped.append((place.file, place.line, str(error)))
        except DataError as error:
            problems.add(place.file, place.line, str(error))
    problems.raise_if_any()
    report.kept = len(examples)
    return examples, report
