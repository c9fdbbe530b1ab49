"""A process that turns files of many kinds into text, so that a file which hangs or crashes a parser ends it alone.

It reads a request a line, `{"path": ..., "kind": ...}`, and answers with lines: `{"text": ..., "name": ...}` for each
text of the file, then `{"end": true}`, or `{"problem": kind, "advice": ...}` in its place. It imports nothing of
Burnish's.
Memory is limited: what a small file may become is not known before.
"""

import bz2
import contextlib
import csv
import email
import email.policy
import gzip
import io
import json
import lzma
import mailbox
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage, Message, MIMEPart
from pathlib import Path
from typing import Any

Part = tuple[str, str | None]
"""A text, and its name in the file where it has one."""

MAX_MEMORY = 4 << 30
MAX_BYTES = 256 << 20
"""What a packed file may hold, all its members together."""
MAX_HTML_BYTES = 32 << 20
MAX_DEPTH = 2_000
"""Elements that may lie in each other; parsers recurse over them."""
MAX_RATIO = 300


_HEADING = re.compile(rb"<h[1-6][\s>]", re.IGNORECASE)
_MARKDOWN_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)


class UnreadableError(Exception):
    """Why a file cannot be read: what is counted together, and what to do about it."""

    def __init__(self, kind: str, advice: str = "") -> None:
        super().__init__(kind)
        self.kind, self.advice = kind, advice


def html(path: Path) -> Iterator[Part]:
    """The main text of a page, as Markdown: headings, lists, tables and code stay, navigation and banners go."""
    yield main_text(_limited(path, MAX_HTML_BYTES)), None


def pdf(path: Path) -> Iterator[Part]:
    """The text of a PDF file, page by page; a scan has none."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableError("encrypted .pdf file", "save it without a password") from None
        raise UnreadableError("damaged .pdf file", str(error)) from None
    pages = []
    for number in range(len(document)):
        page = document[number].get_textpage()
        pages.append(page.get_text_bounded().replace("\r\n", "\n").replace("\x02", "").strip())
        page.close()
    text = "\n\n".join(page for page in pages if page)
    if pages and not text:
        raise UnreadableError(
            ".pdf file without text", "it is a scan: recognise its text first (for example `ocrmypdf`)"
        )
    yield text, None


def docx(path: Path) -> Iterator[Part]:
    """The paragraphs and tables of a Word document in their order, headings as in Markdown."""
    import docx as library
    from docx.table import Table

    _check_archive(path)
    lines: list[str] = []
    for block in library.Document(str(path)).iter_inner_content():
        if isinstance(block, Table):
            lines.append(_table([[cell.text.replace("\n", " ") for cell in row.cells] for row in block.rows]))
            continue
        style = (block.style.name or "") if block.style is not None else ""
        level = style.removeprefix("Heading ")
        text = block.text.strip()
        if text and style.startswith("Heading ") and level.isdigit():
            text = "#" * min(int(level), 6) + " " + text
        elif text and style.startswith("List "):
            text = "- " + text
        lines.append(text)
    yield "\n\n".join(line for line in lines if line), None


def epub(path: Path) -> Iterator[Part]:
    """The chapters of a book, in the order of its spine."""
    from lxml import etree

    _check_archive(path)
    with zipfile.ZipFile(path) as archive:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
        container = etree.fromstring(archive.read("META-INF/container.xml"), parser)
        package = container.find(".//{*}rootfile").get("full-path")
        root = etree.fromstring(archive.read(package), parser)
        items = {item.get("id"): item.get("href") for item in root.findall(".//{*}manifest/{*}item")}
        chapters = []
        for reference in root.findall(".//{*}spine/{*}itemref"):
            name = str((Path(package).parent / items[reference.get("idref")]).as_posix())
            chapters.append(main_text(archive.read(name), whole=True))
    yield "\n\n".join(chapter for chapter in chapters if chapter), None


def notebook(path: Path) -> Iterator[Part]:
    """The Markdown and code cells of a Jupyter notebook; what code printed is left out."""
    cells = json.loads(_limited(path, MAX_BYTES)).get("cells", [])
    parts = []
    for cell in cells:
        source = cell.get("source", "")
        text = "".join(source) if isinstance(source, list) else str(source)
        if text.strip() and cell.get("cell_type") == "markdown":
            parts.append(text.strip())
        elif text.strip() and cell.get("cell_type") == "code":
            parts.append(f"```python\n{text.strip()}\n```")
    yield "\n\n".join(parts), None


def mail(path: Path) -> Iterator[Part]:
    """A message: its subject and its text."""
    message = email.message_from_bytes(_limited(path, MAX_BYTES), policy=email.policy.default)
    yield _message(message), None


def mbox(path: Path) -> Iterator[Part]:
    """The messages of a mailbox, each a text of its own."""
    box = mailbox.mbox(path, create=False)
    for number, found in enumerate(box, start=1):
        message = email.message_from_bytes(found.as_bytes(), policy=email.policy.default)
        yield _message(message), str(found.get("Message-ID", number)).strip("<> \n")


def table(path: Path) -> Iterator[Part]:
    """The rows of a table as JSON, for its reader to take the text from."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else None
    csv.field_size_limit(64 << 20)
    with path.open(encoding="utf-8-sig", newline="") as file:
        sample = file.read(64 << 10)
        file.seek(0)
        try:
            dialect: Any = csv.Sniffer().sniff(sample, delimiters=delimiter or ",;\t|")
        except csv.Error:
            dialect = csv.excel_tab if delimiter else csv.excel
        of_row: list[str] = []

        def lines() -> Iterator[str]:
            for line in file:
                of_row.append(line)
                yield line

        # A row is passed on when the next one is there: the last one may be the rest of the table in one value.
        last: dict[str, str] | None = None
        of_last: list[str] = []
        for row in csv.DictReader(lines(), dialect=dialect):
            if last is not None:
                yield json.dumps(last), None
            last = {str(key): value for key, value in row.items() if isinstance(value, str)}
            of_last = of_row.copy()
            of_row.clear()
        if last is not None:
            if not _closed(of_last, dialect):
                raise UnreadableError(
                    f"{path.suffix.lower()} file with a quote that is not closed",
                    f"in the row {', '.join(last.values())[:60]!r}: all that follows would be one value",
                )
            yield json.dumps(last), None


def _closed(lines: list[str], dialect: Any) -> bool:
    """Whether the lines of a row do not end within quotes."""
    try:
        list(csv.reader(lines, dialect=dialect, strict=True))
    except csv.Error as error:
        return "unexpected end" not in str(error)
    return True


def warc(path: Path) -> Iterator[Part]:
    """The main text of each page in a web archive, named by its address."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with path.open("rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
            headers = record.http_headers
            if headers is None or headers.status_code != 200 or "html" not in (headers.get("Content-Type") or ""):
                continue
            data = record.reader.read(MAX_HTML_BYTES + 1)
            address = record.headers.get("WARC-Target-URI")
            try:
                text = main_text(data)
            except UnreadableError:
                continue
            if text:
                yield text, address


KINDS: dict[str, Callable[[Path], Iterator[Part]]] = {
    "html": html,
    "pdf": pdf,
    "docx": docx,
    "epub": epub,
    "notebook": notebook,
    "mail": mail,
    "mbox": mbox,
    "table": table,
    "warc": warc,
}


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


def _zstd(path: Path) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(str(path), "zstd")


_UNPACKERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstd,
}


def _limited(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    for magic, unpack in _UNPACKERS.items():
        if data.startswith(magic):
            with unpack(path) as packed:
                data = packed.read(limit + 1)
            break
    if len(data) > limit:
        raise UnreadableError("file that is too large", f"larger than {limit >> 20} MiB")
    return data


def _check_archive(path: Path) -> None:
    """Refuse archives that say, or turn out, to hold more than a document does."""
    if not zipfile.is_zipfile(path):
        start = path.read_bytes()[:8] if path.stat().st_size < MAX_BYTES else b""
        encrypted = start.startswith(b"\xd0\xcf\x11\xe0")
        raise UnreadableError(
            f"{'encrypted' if encrypted else 'damaged'} {path.suffix.lower()} file",
            "save it without a password" if encrypted else "it is no ZIP archive; copy it again",
        )
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
    if total > MAX_BYTES or total > max(MAX_RATIO * path.stat().st_size, 16 << 20):
        raise UnreadableError("archive out of proportion", f"{total:,} bytes unpacked of {path.stat().st_size:,}")


def _message(message: Message) -> str:
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain", "html"))
    text = "" if body is None else _content(body)
    if body is not None and body.get_content_subtype() == "html":
        text = main_text(f"<html><body>{text}</body></html>".encode(), whole=True)
    subject = str(message.get("Subject", "")).strip()
    return f"# {subject}\n\n{text.strip()}" if subject else text.strip()


def _content(body: MIMEPart) -> str:
    """The text of a part; of one in an encoding that there is not, what is UTF-8 in it."""
    try:
        return str(body.get_content())
    except (LookupError, ValueError):
        data = body.get_payload(decode=True)
        return data.decode("utf-8", "replace") if isinstance(data, bytes) else ""


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if len(rows) > 1:
        lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def _limit_resources() -> None:
    """Limits of the operating system, where it has them: Windows has none, and macOS ignores that of memory."""
    try:
        import resource
    except ImportError:
        return
    for kind, limit in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def _serve() -> None:
    _limit_resources()
    sys.setrecursionlimit(20_000)
    output, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    requests = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
    sys.stdout = output
    for line in requests:
        request = json.loads(line)
        path = Path(request["path"].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))
        try:
            for text, name in KINDS[request["kind"]](path):
                _answer({"text": text, "name": name})
        except UnreadableError as error:
            _answer({"problem": error.kind, "advice": error.advice})
        except ImportError as error:
            _answer({"missing": error.name or str(error)})
        except MemoryError:
            _answer({"problem": "file that needs too much memory", "advice": f"more than {MAX_MEMORY >> 30} GiB"})
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            _answer({"problem": f"damaged {path.suffix.lower()} file", "advice": f"{type(error).__name__}: {reason}"})
        else:
            _answer({"end": True})


if __name__ == "__main__":
    _serve()
