"""Rows of data files: JSON lines, one JSON array, either of them gzipped, or Parquet.

Notable choices:
- the kind of file is taken from its content, not from its name: a gzipped file without `.gz` is read, and
  text called `.parquet` is refused with that reason;
- every row keeps its file and line, so that a later error can point at it;
- a bad line does not stop the reading when the caller collects `Problems`: a user mends ten lines at once.

Documents (`corpus`) and examples (`datasets`) are both read through `read_rows`.
"""

import difflib
import gzip
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from burnish.errors import BurnishError, DataError

GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data file. `line` counts from 1; in Parquet it is the row's number."""

    file: str
    line: int
    value: dict[str, Any]


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


def read_rows(path: str | Path, *, problems: Problems | None = None) -> Iterator[Row]:
    """Yield the rows of a JSON lines, JSON array or Parquet file, gzipped or not.

    A line that is not a row is added to `problems` and skipped; without `problems` it is raised at once.
    What makes the whole file unreadable (missing, empty, truncated, bad bytes in an array) is always raised.

    Raises:
        DataError: naming file, line, reason and fix.
    """
    path = Path(path)
    found = 0
    collected = Problems() if problems is None else problems
    before = collected.count
    for row in _rows(path, collected):
        if problems is None:
            collected.raise_if_any()
        found += 1
        yield row
    if problems is None:
        collected.raise_if_any()
    if not found and collected.count == before:
        raise DataError(f"{path}: the file holds no rows; expected one JSON object a line")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, unpacking gzip; DataError when that cannot be done."""
    try:
        stream = path.open("rb")
        if stream.peek(2)[:2] == GZIP_MAGIC:
            return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
        return stream
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{nearest_file(path)}") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; name a file or a pattern such as {path}/*.jsonl") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def byte_lines(path: Path, stream: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of `stream`, or other pieces of it, as they are; DataError when gzip data is damaged."""
    try:
        yield from stream
    except EOFError:
        raise DataError(f"{path}: the gzip data ends early; the file is truncated, copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip data is damaged ({error}); copy the file again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def decode(path: Path, data: bytes, *, line: int = 1, offset: int = 0) -> str:
    """Decode UTF-8; DataError names the line and the byte offset in the file of the first wrong byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise DataError(f"{path}:{line}: {not_utf8(data, error, offset)}") from None


def not_utf8(data: bytes, error: UnicodeDecodeError, offset: int) -> str:
    """Say where `data`, which begins at byte `offset` of its file, stops being UTF-8."""
    if offset == 0 and data.startswith(UTF16_BOMS):
        return "the file is UTF-16; save it as UTF-8"
    return (
        f"byte {offset + error.start} (0x{data[error.start]:02x}) is not UTF-8; "
        "convert the file to UTF-8 (for example `iconv -f latin1 -t utf-8`)"
    )


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
        if path.exists():
            found[path] = None
            continue
        # A pattern is relative to its anchor: pathlib refuses absolute ones.
        anchor = Path(path.anchor)
        matches = sorted(anchor.glob(str(path.relative_to(anchor)))) if set(str(path)) & set("*?[") else []
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


def _rows(path: Path, problems: Problems) -> Iterator[Row]:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file or a pattern such as {path}/*.jsonl")
    with open_bytes(path) as stream:
        lines = byte_lines(path, stream)
        first = next(lines, b"")
        if first.startswith(PARQUET_MAGIC):
            yield from _parquet_rows(path)
        elif path.suffix == ".parquet":
            raise DataError(f"{path}: not a Parquet file (it does not begin with PAR1); was it renamed?")
        else:
            yield from _json_rows(path, first, lines, problems)


def _json_rows(path: Path, first: bytes, rest: Iterator[bytes], problems: Problems) -> Iterator[Row]:
    """Yield the rows of JSON lines; when the first text of the file is a `[`, those of the array."""
    begun = False
    offset = len(first) - len(first.removeprefix(UTF8_BOM))
    for line, data in enumerate(itertools.chain([first[offset:]], rest), start=1):
        start, offset = offset, offset + len(data)
        if not data.strip():
            continue
        first_row, begun = not begun, True
        if first_row and data.lstrip().startswith(b"["):
            text = decode(path, b"".join([data, *rest]), line=line, offset=start)
            yield from _array_rows(path, text, line, problems)
            return
        try:
            value = json.loads(data.decode().rstrip(), parse_constant=_not_json)
            yield Row(str(path), line, _checked_row(value))
        except UnicodeDecodeError as error:
            problems.add(path, line, not_utf8(data, error, start))
        except json.JSONDecodeError as error:
            reason = f"invalid JSON at column {error.colno}: {_why(error)}"
            if first_row and (advice := _not_json_lines(data)):
                raise DataError(f"{path}:{line}: {reason}; {advice}") from None
            problems.add(path, line, reason)
        except (ValueError, RecursionError) as error:
            problems.add(path, line, str(error))


def _array_rows(path: Path, text: str, line: int, problems: Problems) -> Iterator[Row]:
    """Yield the elements of the JSON array that `text` is; the text begins at `line` of the file.

    The elements are decoded one by one, so that each knows its line. After an error in the syntax
    the rest of the array cannot be trusted, so it is not read.
    """
    decoder = json.JSONDecoder(parse_constant=_not_json)
    position = _skip_blank(text, text.index("[") + 1)
    counted = 0
    while not text.startswith("]", position):
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = decoder.raw_decode(text, position)
            yield Row(str(path), line, _checked_row(value))
        except json.JSONDecodeError as error:
            line += text.count("\n", counted, error.pos)
            return problems.add(path, line, f"invalid JSON at column {error.colno}: {_why(error)}")
        except _NotARowError as error:
            problems.add(path, line, str(error))
        except (ValueError, RecursionError) as error:
            return problems.add(path, line, str(error))
        position = _skip_blank(text, position)
        if text.startswith(",", position):
            position = _skip_blank(text, position + 1)
        elif not text.startswith("]", position):
            line += text.count("\n", counted, position)
            expected = "the array is not closed; is the file truncated?" if position >= len(text) else "expected , or ]"
            return problems.add(path, line, f"invalid JSON: {expected}")
    end = _skip_blank(text, position + 1)
    if end < len(text):
        line += text.count("\n", counted, end)
        problems.add(path, line, "there is text after the end of the JSON array; a file holds one array or JSON lines")


class _NotARowError(ValueError):
    """A well-formed JSON value that is not an object that can be used."""


def _checked_row(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _NotARowError(f'expected a JSON object such as {{"messages": ...}}, found {shown(value)}')
    return value


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; write null or leave the key out")


def _not_json_lines(first: bytes) -> str:
    """Return the advice for a file whose first line shows that none is JSON, or nothing."""
    if first.strip() == b"{":
        return "an object may not span lines: write one object a line, or put all of them between [ and ]"
    if not first.lstrip().startswith(b"{"):
        return "expected one JSON object a line (CSV and plain text are not data files)"
    return ""


def _why(error: json.JSONDecodeError) -> str:
    near = error.doc[error.pos : error.pos + 20].split("\n")[0]
    return f"{error.msg} at {near!r}" if near else f"{error.msg}, the text ends here"


def _skip_blank(text: str, position: int) -> int:
    match = BLANK.match(text, position)
    return match.end() if match else position


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise BurnishError(f"{path}: Parquet needs pyarrow; install it with `pip install 'burnish[data]'`") from None
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for value in batch.to_pylist():
                    number += 1
                    yield Row(str(path), number, value)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: damaged Parquet after row {number} ({reason}); copy the file again") from None
