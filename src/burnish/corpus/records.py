"""Rows of data files: JSON lines, one JSON array, CSV, any of them gzipped, or Parquet.

Notable choices:
- the kind of file is taken from its content, not from its name, but for CSV, which looks like any text: a gzipped file
  without `.gz` is read, and text called `.parquet` is refused with that reason;
- every row keeps its file and line, so that a later error can point at it;
- a file can be hostile: only regular files are opened, what is packed may not become more than data can, and a row is
  as deep, as long and as large a number as later steps can take;
- a bad line does not stop the reading when the caller collects `Problems`: a user mends ten lines at once.

Documents (`corpus`) and examples (`datasets`) are both read through `read_rows`.
"""

import difflib
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.corpus.csv_rows import csv_rows, is_csv
from burnish.corpus.json_arrays import array_elements
from burnish.corpus.json_values import MAX_ROW_BYTES, not_utf8, parse_json, too_long, why_not_json
from burnish.corpus.packed import MAGICS, unpacked
from burnish.corpus.parquet_rows import parquet_rows
from burnish.errors import BurnishError, DataError
from burnish.files import open_regular, pattern_parts

PARQUET_MAGIC = b"PAR1"
UTF8_BOM = b"\xef\xbb\xbf"
NOT_UNPACKED = {
    **{magic: f"packed twice, with {name} inside" for magic, name in MAGICS.items()},
    b"PK\x03\x04": "a zip archive, which is not read",
    b"ARROW1": "an Arrow file, which is not read",
}


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row of a data file. `line` counts from 1; in Parquet it is the row's number."""

    file: str
    line: int
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FilePart:
    """The lines of a file of JSON lines that begin from byte `start` on and before `end`; the first is `first_line`."""

    start: int
    end: int
    first_line: int


class Problems:
    """Collects what is wrong with data files, to be reported at once: ten reasons, each with its lines."""

    REASONS = 10
    LINES = 5

    def __init__(self) -> None:
        self.count = 0
        self._lines: dict[tuple[str, str], list[int]] = {}

    def add(self, file: str | Path, line: int, reason: str) -> None:
        self.count += 1
        self._lines.setdefault((str(file), reason), []).append(line)

    def extend(self, others: "Problems") -> None:
        """Add those of another file, behind these."""
        self.count += others.count
        for place, lines in others._lines.items():
            self._lines.setdefault(place, []).extend(lines)

    def first(self) -> str:
        """The first reason, with its line."""
        (_, reason), lines = next(iter(self._lines.items()))
        return f"line {lines[0]}: {reason}"

    def raise_if_any(self) -> None:
        """Raise a DataError that lists the problems, if there are any."""
        if not self.count:
            return
        messages = []
        for (file, reason), lines in itertools.islice(self._lines.items(), self.REASONS):
            others = ", ".join(map(str, lines[1 : self.LINES]))
            unnamed = f" and {len(lines) - self.LINES} more" if len(lines) > self.LINES else ""
            also = f" (also in line {others}{unnamed})" if others else ""
            messages.append(f"{file}:{lines[0]}: {reason}{also}")
        told = sum(len(lines) for lines in itertools.islice(self._lines.values(), self.REASONS))
        if told < self.count:
            messages.append(f"and {self.count - told} more problems")
        raise DataError("\n".join(messages))


def read_rows(path: str | Path, *, problems: Problems | None = None, part: FilePart | None = None) -> Iterator[DataRow]:
    """Yield the rows of a JSON lines, JSON array, Parquet, CSV or TSV file, gzipped or not.

    part: read only these lines, of a file of JSON lines that is not packed.

    A line that is not a row is added to `problems` and skipped; without `problems` it is raised at once.
    What makes the whole file unreadable (missing, empty, truncated, bad bytes in an array) is always raised.

    Raises:
        DataError: naming file, line, reason and fix.
    """
    path = Path(path)
    found = 0
    collected = Problems() if problems is None else problems
    before = collected.count
    for row in _rows(path, collected) if part is None else _rows_of_part(path, collected, part):
        if problems is None:
            collected.raise_if_any()
        found += 1
        yield row
    if problems is None:
        collected.raise_if_any()
    if not found and collected.count == before:
        raise DataError(f"{path}: the file holds no rows; expected one JSON object a line")


def open_bytes(path: Path) -> io.BufferedReader:
    """Open a file for reading, unpacked; DataError when that cannot be done, then and while it is read."""
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file{nearest_file(path)}")
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name a file or a pattern such as {path}/*.jsonl")
        stream = open_regular(path)
        return unpacked(path, stream)
    except DataError:
        raise
    except (BurnishError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DataError(f"{path}: cannot be read: {reason or error}") from error


def byte_lines(path: Path, stream: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of `stream`, or other pieces of it, as they are."""
    try:
        yield from stream
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def decode(path: Path, data: bytes, *, line: int = 1, offset: int = 0) -> str:
    """Decode UTF-8; DataError names the line and the byte offset in the file of the first wrong byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise DataError(f"{path}:{line}: {not_utf8(data, error, offset)}") from None


def shown(value: object, limit: int = 60) -> str:
    """Describe a wrong value for an error message, shortened."""
    if isinstance(value, dict):
        return f"an object with keys {', '.join(map(repr, list(value)[:8]))}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` was probably meant to be."""
    folded = {candidate.casefold(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None


def expand(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the files and folders that paths and patterns such as `data/**/*.jsonl` name, in a fixed order.

    Raises:
        DataError: a path does not exist or a pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        try:
            exists = path.exists()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        if exists:
            found[path] = None
            continue
        folder, rest = pattern_parts(path)
        matches = sorted(folder.glob(rest)) if set(rest) & set("*?[") else []
        if not matches:
            raise DataError(f"{path}: no such file{nearest_file(path)}")
        found.update(dict.fromkeys(matches))
    if not found:
        raise DataError("no data file was named")
    return list(found)


def nearest_file(path: Path) -> str:
    """Return `; did you mean X?` with a file of the same folder, or nothing."""
    try:
        match = nearest(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return f"; the folder {path.parent} does not exist"
    return f"; did you mean {path.parent / match}?" if match else ""


def _rows(path: Path, problems: Problems) -> Iterator[DataRow]:
    with open_bytes(path) as stream:
        try:
            head = stream.peek(16)
            packed = next((name for magic, name in NOT_UNPACKED.items() if head.startswith(magic)), None)
            if packed is not None:
                raise DataError(f"{path}: {packed}; unpack it first, or write it as JSON lines")
            if head.startswith(PARQUET_MAGIC):
                for number, value in parquet_rows(path):
                    if isinstance(value, str):
                        problems.add(path, number, value)
                    else:
                        yield DataRow(str(path), number, value)
            elif path.suffix == ".parquet":
                raise DataError(f"{path}: not a Parquet file (it does not begin with PAR1); was it renamed?")
            elif is_csv(path):
                yield from (DataRow(str(path), line, value) for line, value in csv_rows(path, stream, problems))
            else:
                yield from _json_rows(path, stream, problems)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _rows_of_part(path: Path, problems: Problems, part: FilePart) -> Iterator[DataRow]:
    try:
        with open_regular(path) as stream:
            stream.seek(part.start)
            yield from _json_rows(path, stream, problems, part)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _json_rows(
    path: Path, stream: io.BufferedReader, problems: Problems, part: FilePart | None = None
) -> Iterator[DataRow]:
    """Yield the rows of JSON lines; when the first text of the file is a `[`, those of the array."""
    line, offset = (part.first_line - 1, part.start) if part else (0, 0)
    begun = line > 0
    while (part is None or offset < part.end) and (data := stream.readline(MAX_ROW_BYTES + 1)):
        line, start, offset = line + 1, offset, offset + len(data)
        if line == 1 and data.startswith(UTF8_BOM):
            start, data = len(UTF8_BOM), data.removeprefix(UTF8_BOM)
        if not data.strip():
            if len(data) > MAX_ROW_BYTES:
                raise DataError(f"{path}:{line}: nothing but blanks in {MAX_ROW_BYTES:,} bytes; is this a data file?")
            blank = _blank_lines(stream)
            line, offset = line + blank.count(b"\n"), offset + len(blank)
            continue
        first_row, begun = not begun, True
        if first_row and data.lstrip().startswith(b"["):
            for place, value in array_elements(path, stream, data, line, start):
                if isinstance(value, dict):
                    yield DataRow(str(path), place, value)
                else:
                    problems.add(path, place, str(value) if isinstance(value, ValueError) else not_a_row(value))
            return
        if len(data) > MAX_ROW_BYTES:
            raise DataError(f"{path}:{line}: {too_long(data)}")
        try:
            value = parse_json(data.decode().rstrip())
        except UnicodeDecodeError as error:
            problems.add(path, line, not_utf8(data, error, start))
        except json.JSONDecodeError as error:
            reason = f"invalid JSON at column {error.colno}: {why_not_json(error)}"
            if first_row and (advice := _not_json_lines(data)):
                raise DataError(f"{path}:{line}: {reason}; {advice}") from None
            problems.add(path, line, reason)
        except ValueError as error:
            problems.add(path, line, str(error))
        else:
            if isinstance(value, dict):
                yield DataRow(str(path), line, value)
            else:
                problems.add(path, line, not_a_row(value))


def _blank_lines(stream: io.BufferedReader) -> bytes:
    """Take the blank lines that are at hand: millions of them, one by one, are slow."""
    ahead = stream.peek()
    n_blank = len(ahead) - len(ahead.lstrip(b" \t\r\n"))
    return stream.read(ahead.rfind(b"\n", 0, n_blank) + 1)


def not_a_row(value: object) -> str:
    """Say what is wrong with a JSON value that is not an object."""
    return f'expected a JSON object such as {{"messages": ...}}, found {shown(value)}'


def _not_json_lines(first: bytes) -> str:
    """Return the advice for a file whose first line shows that none is JSON, or nothing."""
    if b"\0" in first:
        return "the file has NUL bytes, so it is UTF-16 (save it as UTF-8), or not text"
    if first.strip() == b"{":
        return "an object may not span lines: write one object a line, or put all of them between [ and ]"
    if not first.lstrip().startswith(b"{"):
        return "expected one JSON object a line (or a name that ends in .csv, if it is that)"
    return ""
