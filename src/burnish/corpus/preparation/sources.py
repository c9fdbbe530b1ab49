"""Where documents come from: named groups of files, cut into shards that are read apart.

Notable choices:
- a shard is a run of files in their fixed order; it ends where a hash of a file's name says so, or when it is full, so
  that a file more or less changes its own shard and hardly ever another;
- a large file of JSON lines is several shards, cut at line ends, so that it is not one process's work alone;
- a shard's key is made of its files' names and contents: what has not changed is not prepared again.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from burnish.corpus.documents import files_of, read_file
from burnish.corpus.folders import Skipped, shown_name
from burnish.corpus.readers import Readers
from burnish.corpus.records import UTF8_BOM, FilePart
from burnish.corpus.site import Site
from burnish.errors import BurnishError, DataError
from burnish.files import open_regular, sha256

SHARD_BYTES = 16 << 20
SHARD_FILES = 10_000
LIBRARIES = ("trafilatura", "pypdfium2", "python-docx", "fastwarc", "pyarrow", "charset-normalizer")
"""Packages that parse files: with another version of one what is read may be another."""
_CUT_ONE_IN = 16
_READ_BYTES = 1 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class DocumentSource(BaseModel):
    """A group of documents, as settings name it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field("documents", min_length=1, description="name of the group, in statistics and in every document")
    paths: list[str] = Field([], description="files, folders or patterns")
    site: Site | None = Field(None, description="a site whose pages are read, instead of paths: {start: https://...}")
    licence: str | None = Field(None, description="licence of the documents, where they do not say themselves")
    text_key: str = Field("text", description="key of the text in rows of data files")
    id_key: str = Field("id", description="key of the document's name in rows of data files")

    @model_validator(mode="after")
    def _one_place(self) -> "DocumentSource":
        if bool(self.paths) == (self.site is not None):
            raise ValueError("give `paths`, or a `site`, and not both")
        return self


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of documents, or a part of one.

    in_folder: nobody named it itself, so where it cannot be read it is skipped and counted.
    """

    location: str  # a path as text: there may be a million of them
    name: str
    in_folder: bool
    part: FilePart | None = None

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.location)

    def content(self) -> str:
        """A hash of what it holds."""
        if self.part is None:
            return sha256(self.path)
        digest = hashlib.sha256(str(self.part.first_line).encode())
        with open_regular(self.path) as stream:
            stream.seek(self.part.start)
            left = self.part.end - self.part.start
            while left and (data := stream.read(min(left, _READ_BYTES))):
                digest.update(data)
                left -= len(data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Shard:
    """A run of files of one source."""

    number: int
    source_number: int
    source: DocumentSource
    files: tuple[SourceFile, ...]

    def key(self) -> str:
        """Names and contents of the files and how they are read, as a hash.

        Raises DataError where a file has vanished.
        """
        digest = hashlib.sha256(self.source.model_dump_json(exclude={"paths"}).encode())
        for file in self.files:
            try:
                content = file.content()
            except (OSError, BurnishError) as error:
                content = str(getattr(error, "strerror", error))
            digest.update(f"\0{file.name}\0{content}".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def stamp(self) -> str:
        """When the files were written last and how large they are, as a hash: another one means that they changed."""
        digest = hashlib.sha256()
        for file in self.files:
            try:
                found = file.path.stat()
                digest.update(f"{found.st_mtime_ns} {found.st_size} {found.st_ino}\0".encode())
            except OSError as error:
                digest.update(f"{error.errno}\0".encode())
        return digest.hexdigest()

    def documents(self, skipped: list[Skipped], encodings: Counter[str]) -> Iterator[dict[str, str | None]]:
        """The rows of the table of documents.

        skipped: receives the files, and the rows, that are not read. encodings: counts those of text files, if not
        UTF-8.
        """
        with Readers() as readers:
            for file in self.files:
                found = read_file(
                    file.path,
                    file.name,
                    readers,
                    text_key=self.source.text_key,
                    id_key=self.source.id_key,
                    skipped=skipped if file.in_folder else None,
                    encodings=encodings,
                    part=file.part,
                )
                for document in found:
                    text = document.text
                    if not text.isascii() and _SURROGATE.search(text):
                        # Half a surrogate pair, as the JSON of a notebook can have it: no table takes it.
                        text = _SURROGATE.sub("\ufffd", text)
                        encodings["UTF-8 with lone surrogates"] += 1
                    yield {
                        "id": document.id,
                        "text": text,
                        "source": self.source.name,
                        "origin": shown_name(document.source),
                        "licence": document.licence or self.source.licence,
                        "hash": _hash(document.text),
                    }


def shards_of(
    sources: Sequence[DocumentSource],
    folder: Path,
    skipped: list[Skipped],
    sites: Path,
    *,
    max_bytes: int = SHARD_BYTES,
) -> list[Shard]:
    """All files of all sources, in shards of about `max_bytes`, or of `SHARD_FILES`, at most.

    folder: what paths are relative to. sites: where pages are kept, a folder for each source that is a site.
    Raises DataError for a path that names nothing, or a site that cannot be read.
    """
    names = [source.name for source in sources]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(f"two sources are called {min(twice)!r}; give each a `name` of its own")
    shards: list[Shard] = []
    for source_number, source in enumerate(sources):
        run: list[SourceFile] = []
        size = 0

        def close() -> None:
            nonlocal run, size
            if run:
                shards.append(Shard(len(shards), source_number, source, tuple(run)))  # noqa: B023
            run, size = [], 0

        if source.site is not None:
            files = _pages(source.site, sites / source.name, skipped)
        else:
            files = files_of([folder / path for path in source.paths], skipped)
        for path, name, in_folder in files:
            n_bytes = path.stat().st_size if path.exists() else 0
            if run and (size + n_bytes > max_bytes or len(run) >= SHARD_FILES):
                close()
            if n_bytes > max_bytes and len(parts := _parts(path, n_bytes, max_bytes)) > 1:
                for part in parts:
                    run = [SourceFile(str(path), name, in_folder, part)]
                    close()
                continue
            run.append(SourceFile(str(path), name, in_folder))
            size += n_bytes
            if (size > max_bytes / 4 or len(run) > SHARD_FILES / 4) and _place(name) % _CUT_ONE_IN == 0:
                close()
        close()
    return shards


def _parts(path: Path, size: int, max_bytes: int) -> list[FilePart]:
    """Cuts of a file of JSON lines about every `max_bytes` bytes, at line ends; none of a file of another kind."""
    if path.suffix not in (".jsonl", ".ndjson"):
        return []
    try:
        with open_regular(path) as stream:
            if not stream.peek(1).lstrip(UTF8_BOM + b" \t\r\n").startswith(b"{"):
                return []
            starts, line, place = [(0, 1)], 1, 0
            while (target := starts[-1][0] + max_bytes) < size:
                while place < target and (data := stream.read(min(target - place, _READ_BYTES))):
                    line, place = line + data.count(b"\n"), place + len(data)
                while data := stream.readline(_READ_BYTES):
                    place += len(data)
                    if data.endswith(b"\n"):
                        line += 1
                        break
                if place < target or place >= size:
                    break
                starts.append((place, line))
    except (OSError, BurnishError):
        return []
    ends = [start for start, _ in starts[1:]] + [size]
    return [FilePart(start, end, line) for (start, line), end in zip(starts, ends, strict=True)]


def _pages(site: Site, folder: Path, skipped: list[Skipped]) -> Iterator[tuple[Path, str, bool]]:
    """The pages of a site by their addresses. skipped: receives the addresses that are not kept."""
    from burnish.corpus.crawler import crawl  # nothing that reads files alone has what speaks to other machines

    for visit in crawl(site, folder):
        if visit.file is None:
            skipped.append(Skipped(folder, visit.url, str(visit.reason), visit.detail))
        else:
            yield folder / visit.file, visit.url, True


def _place(name: str) -> int:
    return hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=2).digest()[0]


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def settings_of(sources: Sequence[DocumentSource]) -> list[dict[str, Any]]:
    """The sources as JSON has them."""
    return [source.model_dump(mode="json") for source in sources]
