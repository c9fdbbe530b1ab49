"""Documents from text, source code, pages, office files and data files.

A file of text, a page or a book is one document; so is a row of JSON lines, Parquet or CSV with a `text` column, a
message of a mailbox and a page of a web archive.
What is named has to be readable. Of a folder everything that can be read is, and every other file is told with its
reason: a folder of documents holds images, archives and broken files too. In a folder, `.json` files are passed over:
there they are mostly settings.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.corpus.folders import (
    CODE_SUFFIXES,
    NOT_READ,
    PARSED_SUFFIXES,
    READ_SUFFIXES,
    ROW_SUFFIXES,
    TABLE,
    TEXT_SUFFIXES,
    Skipped,
    describe,
    suffix_of,
    walk,
)
from burnish.corpus.readers import Part, Readers, UnreadableFileError
from burnish.corpus.records import DataRow, FilePart, Problems, expand, nearest, read_rows, shown
from burnish.corpus.text_files import UnreadableDocumentError, read_text
from burnish.errors import BurnishError, DataError
from burnish.files import regular_file


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an id that does not depend on what else is in the corpus, where it comes from, and its licence.

    score: how good it is, in the unit of whoever said so.
    """

    id: str
    text: str
    source: str
    licence: str | None = None
    score: float | None = None

    def row(self) -> dict[str, str]:
        """As a row of a data file has it."""
        row = {"id": self.id, "text": self.text, "source": self.source}
        return row if self.licence is None else {**row, "licence": self.licence}


def read_documents(
    paths: str | Path | Sequence[str | Path],
    *,
    text_key: str = "text",
    id_key: str = "id",
    score_key: str | None = None,
    skipped: list[Skipped] | None = None,
) -> list[Document]:
    """Read every document that files, folders and patterns name, in a fixed order; arguments as for `each_document`."""
    return list(each_document(paths, text_key=text_key, id_key=id_key, score_key=score_key, skipped=skipped))


def each_document(
    paths: str | Path | Sequence[str | Path],
    *,
    text_key: str = "text",
    id_key: str = "id",
    score_key: str | None = None,
    skipped: list[Skipped] | None = None,
) -> Iterator[Document]:
    """Yield every document that files, folders and patterns name, in a fixed order, as they are read.

    Args:
        text_key: the column of data rows that holds the text.
        id_key: the column that holds an id; without one the id is a hash of the text.
        score_key: the column that holds a number by which the document is as good as it is large, where one is read.
        skipped: if given, receives the files of folders that are not read, or not to their end, each with its reason.

    Raises:
        DataError: files that were named and cannot be read, with reason and fix; at the end, listing them, rows that
            cannot be read; or there is no document. Of a file in a folder rows are only listed if others of it are
            documents: else it is no file of documents, and skipped as a whole.
    """
    problems, of_skipped = Problems(), Problems()
    skipped = [] if skipped is None else skipped
    n_documents = 0
    with Readers() as readers:
        for file, name, in_folder in files_of(paths, skipped):
            blank: list[Document] = []  # until one with a text shows that this is a file of documents
            found = 0
            bad_rows = Problems()
            why_not: tuple[str, str] | None = None
            try:
                for document in _documents_of(file, name, text_key, id_key, bad_rows, readers, score_key):
                    if not found and not document.text.strip():
                        blank.append(document)
                        continue
                    yield from blank
                    yield document
                    found += 1 + len(blank)
                    blank.clear()
                if not found and bad_rows.count and not blank:
                    why_not = f'{suffix_of(file)} file without text in "{text_key}"', bad_rows.first()
                elif not found and not bad_rows.count:
                    why_not = "empty file", ""
            except UnreadableDocumentError as error:
                if not in_folder:
                    raise
                why_not = f"rest of a {error.kind}" if found else error.kind, error.advice
            except DataError as error:
                if not in_folder or (found and bad_rows.count):
                    raise
                kind = f"{suffix_of(file)} file that cannot be read"
                why_not = f"rest of a {kind}" if found else kind, _reason(error, file)
            if why_not is not None and in_folder:
                skipped.append(Skipped(file, name, *why_not))
                of_skipped.extend(bad_rows)
            else:
                yield from blank
                found += len(blank)
                problems.extend(bad_rows)
            n_documents += found
    problems.raise_if_any()
    if not n_documents:
        of_skipped.raise_if_any()
        named = ", ".join(map(str, [paths] if isinstance(paths, str | Path) else paths))
        passed_over = "\nNot read:\n" + describe(skipped) if skipped else ""
        kinds = ", ".join((*TEXT_SUFFIXES, *PARSED_SUFFIXES, *ROW_SUFFIXES))
        raise DataError(f"{named}: there is no document; expected {kinds} files, or source code{passed_over}")


def read_file(
    file: Path,
    name: str,
    readers: Readers,
    *,
    text_key: str = "text",
    id_key: str = "id",
    skipped: list[Skipped] | None = None,
    encodings: Counter[str] | None = None,
    part: FilePart | None = None,
) -> Iterator[Document]:
    """Yield a file's documents one by one, so that a file of any size can be read.

    part: only of these lines.

    skipped: if given, receives the file's bad rows and, where the rest of it cannot be read, the file, with the reason.
    encodings: if given, text that is not UTF-8 is read too, and its encoding counted here.

    Raises:
        DataError: without `skipped`, naming what cannot be read.
    """
    problems = Problems()
    found = part is not None and part.first_line > 1  # what a file is, its first part tells
    try:
        for document in _documents_of(file, name, text_key, id_key, problems, readers, encodings=encodings, part=part):
            if skipped is None or document.text.strip() or suffix_of(file) in ROW_SUFFIXES:
                found = True
                yield document
    except DataError as error:
        if skipped is None:
            raise
        kind = (
            error.kind if isinstance(error, UnreadableDocumentError) else f"{suffix_of(file)} file that cannot be read"
        )
        advice = error.advice if isinstance(error, UnreadableDocumentError) else _reason(error, file)
        skipped.append(Skipped(file, name, f"rest of a {kind}" if found else kind, advice))
        return
    if skipped is None:
        problems.raise_if_any()
    elif problems.count:
        kind = "rows without text" if found else f'file without text in "{text_key}"'
        skipped.append(Skipped(file, name, kind, f"{problems.count:,} of its rows, the first {problems.first()}"))
    elif not found:
        skipped.append(Skipped(file, name, "empty file"))


def content_id(text: str) -> str:
    """Return a short id that depends on the text alone, so that moving or adding files changes no id."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _documents_of(
    file: Path,
    name: str,
    text_key: str,
    id_key: str,
    problems: Problems,
    readers: Readers,
    score_key: str | None = None,
    encodings: Counter[str] | None = None,
    part: FilePart | None = None,
) -> Iterator[Document]:
    suffix = suffix_of(file)
    if suffix in TEXT_SUFFIXES + CODE_SUFFIXES:
        text = read_text(file, encodings)
        yield Document(content_id(text), text, name)
        return
    if suffix in PARSED_SUFFIXES and PARSED_SUFFIXES[suffix] != TABLE:
        for found in _parts(file, readers):
            yield Document(content_id(found.text), found.text, name if found.name is None else f"{name}#{found.name}")
        return
    for row in (
        _rows(file, readers, problems) if suffix in PARSED_SUFFIXES else read_rows(file, problems=problems, part=part)
    ):
        try:
            text = _row_text(row.value, text_key)
            score = None if score_key is None else _row_score(row.value, score_key)
        except ValueError as error:
            problems.add(row.file, row.line, str(error))
            continue
        given = row.value.get(id_key)
        # What preparation has written says which file a document was; its `source` is the name of a group of files.
        source = row.value.get("origin", row.value.get("source"))
        yield Document(
            content_id(text) if given is None else str(given),
            text,
            f"{name}:{row.line}" if source is None else str(source),
            None if (licence := row.value.get("license", row.value.get("licence"))) is None else str(licence),
            score,
        )


def _parts(file: Path, readers: Readers) -> Iterator[Part]:
    try:
        regular_file(file)
        yield from readers.parts(file)
    except UnreadableFileError as error:
        raise UnreadableDocumentError(file, error.kind, str(error)) from None
    except BurnishError as error:
        raise DataError(str(error)) from error


def _rows(file: Path, readers: Readers, problems: Problems) -> Iterator[DataRow]:
    """The rows of a table, numbered as its lines are where no value has a line end."""
    for number, part in enumerate(_parts(file, readers), start=2):
        value = json.loads(part.text)
        if isinstance(value, str):
            problems.add(file, number, value)
        else:
            yield DataRow(str(file), number, value)


def files_of(paths: str | Path | Sequence[str | Path], skipped: list[Skipped]) -> Iterator[tuple[Path, str, bool]]:
    """Yield each file once: its path, its name in the folder it was found in, and whether nothing else names it.

    skipped: receives the files of folders that are not read, each with its reason.
    """
    seen: set[str] = set()  # as text: a million of paths are a gigabyte
    named = {Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)}
    expanded = expand(paths)
    themselves = {os.path.realpath(path) for path in expanded if not path.is_dir()}
    for path in expanded:
        if path.name.startswith(".") and path not in named:
            found: list[tuple[Path, str] | Skipped] = [Skipped(path, path.name, "hidden file")]
        elif not path.is_dir():
            suffix = suffix_of(path)
            if suffix not in READ_SUFFIXES:
                advice = NOT_READ.get(suffix, f"expected one of {', '.join(READ_SUFFIXES)}")
                raise DataError(
                    f"{path}: {suffix or 'this kind of'} files are not read; {advice}, or name the folder "
                    "to have such files passed over"
                )
            found = [(path, path.name)]
        else:
            found = list(walk(path))
        for one in found:
            if isinstance(one, Skipped):
                skipped.append(one)
            elif (resolved := os.path.realpath(one[0])) in seen:
                skipped.append(Skipped(*one, "file that is there twice", "it is read once"))
            else:
                seen.add(resolved)
                yield *one, resolved not in themselves


def _reason(error: DataError, file: Path) -> str:
    """The error's first line without the file's name, which stands beside it."""
    return str(error).splitlines()[0].removeprefix(str(file)).lstrip(":0123456789 ")


def _row_text(row: dict[str, Any], key: str) -> str:
    text = row.get(key)
    if text is None:
        match = nearest(key, (name for name in row if name != key))
        advice = f'did you mean "{match}"?' if match else f"the row has {', '.join(map(repr, row)) or 'no keys'}"
        raise ValueError(f'"{key}" is missing; {advice}')
    if not isinstance(text, str):
        raise ValueError(f"{key} is {shown(text)}; expected text")
    return text


def _row_score(row: dict[str, Any], key: str) -> float | None:
    score = row.get(key)
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise ValueError(f"{key} is {shown(score)}; expected a number")
    return float(score)
