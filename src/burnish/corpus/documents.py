"""Documents from text, Markdown and data files.

A text or Markdown file is one document; a row of JSON lines or Parquet with a `text` column is one document.
In a folder, `.json` files are passed over: there they are mostly settings. One that is named is read.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.corpus.records import (
    UTF8_BOM,
    Problems,
    byte_lines,
    decode,
    expand,
    nearest,
    open_bytes,
    read_rows,
    shown,
)
from burnish.errors import DataError

TEXT_SUFFIXES = (".txt", ".md", ".markdown", ".rst", ".text")
ROW_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
NOT_READ = {
    ".html": "convert it to Markdown or text first (for example `pandoc -t plain`)",
    ".htm": "convert it to Markdown or text first (for example `pandoc -t plain`)",
    ".pdf": "convert it to text first (for example `pdftotext`)",
    ".docx": "convert it to Markdown or text first (for example `pandoc -t plain`)",
    ".csv": "convert it to JSON lines with a `text` key",
}


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an id that does not depend on what else is in the corpus, and where it comes from."""

    id: str
    text: str
    source: str


def read_documents(
    paths: str | Path | Sequence[str | Path],
    *,
    text_key: str = "text",
    id_key: str = "id",
    skipped: list[Path] | None = None,
) -> list[Document]:
    """Read every document that files, folders and patterns name, in a fixed order.

    Args:
        text_key: the column of data rows that holds the text.
        id_key: the column that holds an id; without one the id is a hash of the text.
        skipped: if given, receives the files of folders that are not read, such as images.

    Raises:
        DataError: listing files and rows that cannot be read, with reason and fix; or there is no document.
    """
    documents = []
    problems = Problems()
    for file, name in _files(paths, skipped):
        if _suffix(file) in TEXT_SUFFIXES:
            text = read_text(file)
            documents.append(Document(content_id(text), text, name))
            continue
        for row in read_rows(file, problems=problems):
            try:
                text = _row_text(row.value, text_key)
            except ValueError as error:
                problems.add(row.file, row.line, str(error))
                continue
            given = row.value.get(id_key)
            source = row.value.get("source")
            documents.append(
                Document(
                    content_id(text) if given is None else str(given),
                    text,
                    f"{name}:{row.line}" if source is None else str(source),
                )
            )
    problems.raise_if_any()
    if not documents:
        raise DataError(f"{paths}: there is no document; expected {', '.join(TEXT_SUFFIXES + ROW_SUFFIXES)} files")
    return documents


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, gzipped or not, without a byte order mark."""
    with open_bytes(path) as stream:
        return decode(path, b"".join(byte_lines(path, stream)).removeprefix(UTF8_BOM))


def content_id(text: str) -> str:
    """Return a short id that depends on the text alone, so that moving or adding files changes no id."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _files(paths: str | Path | Sequence[str | Path], skipped: list[Path] | None) -> Iterator[tuple[Path, str]]:
    """Yield each file once, with its name relative to the folder it was found in."""
    seen: set[Path] = set()
    for path in expand(paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            relative = file.relative_to(path) if path.is_dir() else Path(file.name)
            if file.is_dir() or file.resolve() in seen or any(part.startswith(".") for part in relative.parts):
                continue
            seen.add(file.resolve())
            if _suffix(file) in TEXT_SUFFIXES + ROW_SUFFIXES and not (path.is_dir() and _suffix(file) == ".json"):
                yield file, relative.as_posix()
            elif path.is_dir():
                if skipped is not None:
                    skipped.append(file)
            else:
                advice = NOT_READ.get(_suffix(file), f"expected one of {', '.join(TEXT_SUFFIXES + ROW_SUFFIXES)}")
                raise DataError(f"{file}: {_suffix(file) or 'this kind of'} files are not read; {advice}")


def _suffix(file: Path) -> str:
    """Return the suffix that tells the kind of a file: that before `.gz`, in small letters."""
    return Path(file.stem).suffix.lower() if file.suffix == ".gz" else file.suffix.lower()


def _row_text(row: dict[str, Any], key: str) -> str:
    text = row.get(key)
    if text is None:
        match = nearest(key, (name for name in row if name != key))
        advice = f'did you mean "{match}"?' if match else f"the row has {', '.join(map(repr, row)) or 'no keys'}"
        raise ValueError(f'"{key}" is missing; {advice}')
    if not isinstance(text, str):
        raise ValueError(f"{key} is {shown(text)}; expected text")
    return text
