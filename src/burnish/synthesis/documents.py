"""Documents cut into the chunks that synthesis reads: sections of texts, and what source code says of itself."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from burnish.corpus.documents import Document, files_of, read_file
from burnish.corpus.folders import CODE_SUFFIXES, MARKUP_SUFFIXES, Skipped
from burnish.corpus.readers import Readers
from burnish.synthesis import source_code
from burnish.synthesis.chunk import DocumentChunk
from burnish.synthesis.structure import Section, block_text, cut, sections

_NUMBERING = re.compile(r"(?:\d+\.)+\d*\s+|\d+\s+(?=[A-Z])|[IVX]+\.\s+")


def read(paths: Sequence[Path], skipped: list[Skipped], *, text_key: str = "text") -> Iterator[Document]:
    """Yield the documents of files and folders one by one; also those that preparation has written.

    skipped: receives the files of folders that are not read, each with its reason. Raises DataError for a file that was
    named and cannot be read.
    """
    with Readers() as readers:
        for file, name, in_folder in files_of(list(paths), skipped):
            yield from read_file(file, name, readers, text_key=text_key, skipped=skipped if in_folder else None)


def chunks(document: Document, max_characters: int) -> Iterator[DocumentChunk]:
    """The chunks of a document; none where there is nothing to read.

    max_characters: of a chunk; a paragraph, table or piece of code that is longer is a chunk of its own.
    """
    name = document.source.rpartition("#")[0] or document.source
    suffix = PurePosixPath(re.sub(r":\d+$", "", name)).suffix.lower()
    if suffix in CODE_SUFFIXES and suffix not in MARKUP_SUFFIXES:
        found = source_code.sections(document.text, name)
    else:
        found = [_unnumbered(section) for section in sections(document.text)]
    title = title_of(found, name)
    parts = [(part, at == 0) for section in found for at, part in enumerate(cut(section, max_characters))]
    for number, (part, first) in enumerate(parts):
        text = "\n\n".join([*part.headings, *(block_text(block) for block in part.blocks)])
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        yield DocumentChunk(document.source, title, number, digest, part, first, document.licence)


def title_of(found: list[Section], name: str) -> str:
    """What a document is called: its first heading, else its file's name."""
    for section in found:
        if section.headings:
            return section.headings[0]
    path = PurePosixPath(re.sub(r":\d+$", "", name))
    return path.stem.replace("_", " ") if path.suffix else path.name


def _unnumbered(section: Section) -> Section:
    """A section whose headings have lost their numbers, which no question should ask for."""
    return Section(
        tuple(_NUMBERING.sub("", heading, count=1) or heading for heading in section.headings), section.blocks
    )
