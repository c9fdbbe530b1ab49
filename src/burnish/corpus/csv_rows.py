"""Rows of a CSV or TSV file, each a mapping by the names in its first line.

MMLU's own files (Hendrycks 2020, arXiv:2009.03300) have no such line: question, options A to D, and the right one's
letter. They are told by that, and get these names.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.errors import DataError

if TYPE_CHECKING:
    from burnish.corpus.records import Problems

SUFFIXES = (".csv", ".tsv")
MMLU_COLUMNS = ("question", "A", "B", "C", "D", "answer")
MAX_CELL = 64 << 20


def is_csv(path: Path) -> bool:
    """Whether a file is one by its name, gzipped or not."""
    return Path(path.name.removesuffix(".gz")).suffix.lower() in SUFFIXES


def csv_rows(path: Path, stream: io.BufferedReader, problems: "Problems") -> Iterator[tuple[int, dict[str, Any]]]:
    """The line and the cells of each row by their column's name; empty cells are left out.

    stream: the unpacked bytes. problems: receives rows of another width than the header's. Raises DataError where the
    file is no UTF-8 text, no table, or has a name twice in its first line.
    """
    csv.field_size_limit(MAX_CELL)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        first = _line(path, text)
        delimiter = "\t" if ".tsv" in path.suffixes else ";" if first.count(";") > first.count(",") else ","
        reader = csv.reader(_lines(path, first, text), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                if not _is_mmlu(cells):
                    header = _header(path, cells)
                    continue
                header = list(MMLU_COLUMNS)
            if len(cells) != len(header):
                problems.add(path, reader.line_num, f"{len(cells)} cells, where the first line names {len(header)}")
                continue
            yield reader.line_num, {name: cell for name, cell in zip(header, cells, strict=True) if name and cell}
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error.reason}); save it as UTF-8, as spreadsheets offer") from error
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not a table of cells: {error}") from error
    finally:
        text.detach()


def _lines(path: Path, line: str, rest: io.TextIOWrapper) -> Iterator[str]:
    while line:
        yield line
        line = _line(path, rest)


def _line(path: Path, text: io.TextIOWrapper) -> str:
    """The next line. Raises DataError for one that no row is as long as."""
    line = text.readline(MAX_CELL + 1)
    if len(line) > MAX_CELL:
        raise DataError(f"{path}: a line has more than {MAX_CELL:,} characters; is this a table?")
    return line


def _is_mmlu(cells: list[str]) -> bool:
    return len(cells) == len(MMLU_COLUMNS) and cells[-1].strip() in MMLU_COLUMNS[1:-1] and all(cells)


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(f"{path}:1: the column '{twice[0]}' is there twice; the first line names the columns")
    return names
