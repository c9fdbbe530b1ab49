"""PDF files, Word documents, books and notebooks."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from burnish.corpus.parsers.limits import MAX_BYTES, Part, UnreadableError, check_archive, limited
from burnish.corpus.parsers.pages import main_text


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

    check_archive(path)
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

    check_archive(path)
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
    cells = json.loads(limited(path, MAX_BYTES)).get("cells", [])
    parts = []
    for cell in cells:
        source = cell.get("source", "")
        text = "".join(source) if isinstance(source, list) else str(source)
        if text.strip() and cell.get("cell_type") == "markdown":
            parts.append(text.strip())
        elif text.strip() and cell.get("cell_type") == "code":
            parts.append(f"```python\n{text.strip()}\n```")
    yield "\n\n".join(parts), None


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if len(rows) > 1:
        lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)
