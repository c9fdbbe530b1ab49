"""HTML pages, and archives of them."""

import re
from collections.abc import Iterator
from pathlib import Path

from burnish.corpus.parsers.limits import MAX_HTML_BYTES, Part, UnreadableError, limited

MAX_DEPTH = 2_000
"""Elements that may lie in each other; parsers recurse over them."""

_HEADING = re.compile(rb"<h[1-6][\s>]", re.IGNORECASE)
_NEXT_RECORD = re.compile(rb"\r\nWARC/1\.\d\r\nWARC-", re.IGNORECASE)
_MARKDOWN_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)


def html(path: Path) -> Iterator[Part]:
    """The main text of a page, as Markdown: headings, lists, tables and code stay, navigation and banners go."""
    yield main_text(limited(path, MAX_HTML_BYTES)), None


def warc(path: Path) -> Iterator[Part]:
    """The main text of each page in a web archive, named by its address; other records are no pages.

    Raises UnreadableError where the archive is damaged, or, behind all others, pages cannot be read.
    """
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    n_records = 0
    unread: list[str] = []
    with path.open("rb") as file:
        for record in ArchiveIterator(file, parse_http=False):
            n_records += 1
            if record.record_type == WarcRecordType.no_type:  # which every record has to name
                raise UnreadableError("damaged .warc file", f"record {n_records} does not say what it is")
            page = record.record_type == WarcRecordType.response
            if page:
                record.parse_http()
            announced = record.content_length
            data = record.reader.read(MAX_HTML_BYTES + 1)
            if len(data) < min(announced, MAX_HTML_BYTES + 1) or _NEXT_RECORD.search(data):
                raise UnreadableError("damaged .warc file", f"record {n_records} has another length than it says")
            headers = record.http_headers if page else None
            if headers is None or headers.status_code != 200 or "html" not in (headers.get("Content-Type") or ""):
                continue
            try:
                text = main_text(data)
            except UnreadableError as error:
                unread.append(f"{record.headers.get('WARC-Target-URI')}: {error}")
                continue
            if text:
                yield text, record.headers.get("WARC-Target-URI")
    if not n_records:
        raise UnreadableError("damaged .warc file", "there is no record in it")
    if unread:
        raise UnreadableError(".warc file with pages that cannot be read", f"{len(unread)}, the first {unread[0]}")


def main_text(data: bytes, *, whole: bool = False) -> str:
    """The main text of HTML, as Markdown; of `whole` pages, such as a book's, all of it."""
    import trafilatura

    if len(data) > MAX_HTML_BYTES:
        raise UnreadableError("page that is too large", f"larger than {MAX_HTML_BYTES >> 20} MiB")
    if _depth(data) > MAX_DEPTH:
        raise UnreadableError("page that is nested too deeply", f"more than {MAX_DEPTH:,} elements in each other")

    def extracted(*, favor_recall: bool) -> str | None:
        found: str | None = trafilatura.extract(
            data, output_format="markdown", include_tables=True, include_comments=False, favor_recall=favor_recall
        )
        return found

    text = extracted(favor_recall=whole)
    if not whole and _HEADING.search(data) and not (text and _MARKDOWN_HEADING.search(text)):
        # Of pages without an <article> only the paragraphs were found: a manual's headings and lists would be lost.
        more = extracted(favor_recall=True)
        text = more if more and _MARKDOWN_HEADING.search(more) else text
    return text or ("" if not whole else trafilatura.html2txt(data))


def _depth(data: bytes) -> int:
    """How many elements lie in each other at most, roughly: what opens and never closes counts too."""
    depth = deepest = 0
    for piece in data.split(b"<")[1:]:
        if piece[:1] == b"/":
            depth = max(depth - 1, 0)
        elif piece[:1].isalpha() and b"/>" not in piece[:200] and not piece[:4].lower().startswith(_VOID):
            depth += 1
            deepest = max(deepest, depth)
    return deepest


# Elements without an end, and paragraphs and items, whose end may be left out.
_VOID = (
    b"br",
    b"hr",
    b"img",
    b"inp",
    b"link",
    b"meta",
    b"p>",
    b"p ",
    b"li",
    b"dt",
    b"dd",
    b"td",
    b"th",
    b"tr",
    b"opt",
    b"col",
)
