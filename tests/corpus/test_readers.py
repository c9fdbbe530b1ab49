"""Files that are no plain text: what is read of them, and that a broken one costs nothing but itself."""

import gzip
import io
import json
import mailbox
import os
import zipfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from burnish.corpus.documents import read_documents, read_file
from burnish.corpus.folders import Skipped
from burnish.corpus.readers import Readers, UnreadableFileError
from burnish.errors import DataError

PAGE = """<html><head><title>Leave</title></head><body><nav><a href="/">Home</a><a href="/x">All pages</a></nav>
<main><h1>Leave of absence</h1><p>Leave is requested in the portal, at least two weeks before it begins.</p>
<p>Whoever is ill calls before nine, and sends the certificate on the third day at the latest.</p>
<pre><code>leave --from monday</code></pre>
<table><tr><th>Kind</th><th>Days</th></tr><tr><td>Holiday</td><td>30</td></tr></table></main>
<footer>Imprint, privacy, cookies</footer></body></html>"""


def pdf(texts: list[str], *, trailer: str = "") -> bytes:
    """A PDF file with a page for each text."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for text in texts:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R /Resources {font} >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, places = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n"
    return out.encode()


ENCRYPTED = (
    "/Encrypt << /Filter /Standard /V 1 /R 2 /O <" + "28" * 32 + "> /U <" + "29" * 32 + "> /P -44 >> /ID [<01><01>]"
)


def docx() -> bytes:
    library = pytest.importorskip("docx")
    document = library.Document()
    document.add_heading("Leave", 1)
    document.add_paragraph("Leave is requested in the portal.")
    document.add_paragraph("At least two weeks before.", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, values in zip(table.rows, [("Kind", "Days"), ("Holiday", "30")], strict=True):
        for cell, value in zip(row.cells, values, strict=True):
            cell.text = value
    document.add_paragraph("After the table.")
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def archive(members: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file.getvalue()


EPUB = {
    "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
    "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="b" href="two.xhtml"/>'
    '<item id="a" href="one.xhtml"/></manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>',
    "OEBPS/one.xhtml": "<html><body><h1>One</h1><p>It begins on a Monday in the rain.</p></body></html>",
    "OEBPS/two.xhtml": "<html><body><h1>Two</h1><p>It ends on a Tuesday, in the sun.</p></body></html>",
}


def message(html: bool = False) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["Message-ID"] = "Leave in May", "a@example.com", "<one@example.com>"
    mail.set_content("May I have leave in May?\n")
    if html:
        mail.clear_content()
        mail.set_content("<p>May I have leave in May? I ask for two weeks.</p>", subtype="html")
    return mail


def mailbox_of(folder: Path) -> bytes:
    box = mailbox.mbox(folder / "box")
    box.add(message())
    other = message()
    del other["Message-ID"]
    box.add(other)
    box.close()
    return (folder / "box").read_bytes()


def warc() -> bytes:
    found = []
    for address, status, kind in (
        ("http://x/leave", 200, "text/html"),
        ("http://x/a", 404, "text/html"),
        ("http://x/b", 200, "image/png"),
    ):
        body = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n\r\n{PAGE}".encode()
        head = [
            "WARC/1.0",
            "WARC-Type: response",
            f"WARC-Record-ID: <urn:uuid:{address}>",
            "WARC-Date: 2026-01-01T00:00:00Z",
            f"WARC-Target-URI: {address}",
            "Content-Type: application/http; msgtype=response",
            f"Content-Length: {len(body)}",
        ]
        found.append("\r\n".join(head).encode() + b"\r\n\r\n" + body + b"\r\n\r\n")
    return b"".join(found)


NOTEBOOK = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown", "source": ["# Leave\n", "How it is counted."]},
            {"cell_type": "code", "source": "days = 30", "outputs": [{"text": "secret"}]},
            {"cell_type": "code", "source": ""},
        ]
    }
).encode()

READ: dict[str, tuple[str, Callable[[Path], bytes], list[str], list[str]]] = {
    "page": (
        "a.html",
        lambda _: PAGE.encode(),
        ["# Leave of absence", "in the portal", "leave --from", "30"],
        ["Imprint"],
    ),
    "packed page": ("a.html.gz", lambda _: gzip.compress(PAGE.encode()), ["# Leave of absence"], ["Imprint"]),
    "latin page": (
        "a.htm",
        lambda _: (
            PAGE.replace("<title>", "<meta charset='iso-8859-1'><title>").replace("ill ", "müde ").encode("latin-1")
        ),
        ["müde"],
        [],
    ),
    "pdf": ("a.pdf", lambda _: pdf(["First page.", "Second page."]), ["First page.\n\nSecond page."], []),
    "docx": (
        "a.docx",
        lambda _: docx(),
        ["# Leave\n\nLeave is", "- At least", "| Kind | Days |", "| Holiday | 30 |"],
        [],
    ),
    "epub": ("a.epub", lambda _: archive(EPUB), ["Monday in the rain"], []),
    "notebook": ("a.ipynb", lambda _: NOTEBOOK, ["# Leave\nHow it", "```python\ndays = 30\n```"], ["secret"]),
    "mail": ("a.eml", lambda _: message().as_bytes(), ["# Leave in May\n\nMay I have leave"], ["example.com"]),
    "html mail": ("a.eml", lambda _: message(html=True).as_bytes(), ["I ask for two weeks"], ["<p>"]),
    "archive": ("a.warc", lambda _: warc(), ["# Leave of absence"], []),
    "packed archive": ("a.warc.gz", lambda _: gzip.compress(warc()), ["# Leave of absence"], []),
    "source code": ("a.py", lambda _: b"def leave():\n    return 30\n", ["def leave():\n    return 30\n"], []),
}


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers() as readers:
        yield readers


@pytest.mark.parametrize("kind", READ)
def test_what_is_read(kind: str, tmp_path: Path) -> None:
    name, make, parts, absent = READ[kind]
    (tmp_path / name).write_bytes(make(tmp_path))
    (document,) = read_documents(tmp_path / name)
    for part in parts:
        assert part in document.text
    for part in absent:
        assert part not in document.text
    assert document.source.partition("#")[0] == name


def test_chapters_come_in_the_order_of_the_spine(tmp_path: Path) -> None:
    (tmp_path / "a.epub").write_bytes(archive(EPUB))
    (document,) = read_documents(tmp_path / "a.epub")
    assert document.text.index("Monday") < document.text.index("Tuesday")


def test_each_message_and_page_is_a_document_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.mbox").write_bytes(mailbox_of(tmp_path))
    (tmp_path / "box").unlink()
    (tmp_path / "b.warc").write_bytes(warc())
    assert [one.source for one in read_documents(tmp_path)] == [
        "a.mbox#one@example.com",
        "a.mbox#2",
        "b.warc#http://x/leave",
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_of_tables_are_documents(tmp_path: Path, separator: str) -> None:
    rows = [("id", "text", "license"), ("one", "The first text", "CC0"), ("two", "The second text", "")]
    file = tmp_path / ("a.tsv" if separator == "\t" else "a.csv")
    file.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    assert [(one.id, one.text) for one in read_documents(file)] == [
        ("one", "The first text"),
        ("two", "The second text"),
    ]


BROKEN: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "cut pdf": ("a.pdf", lambda: pdf(["x"])[:40], "damaged .pdf file"),
    "encrypted pdf": ("a.pdf", lambda: pdf(["x"], trailer=ENCRYPTED), "encrypted .pdf file"),
    "scan": ("a.pdf", lambda: pdf([""]), ".pdf file without text"),
    "docx that is none": ("a.docx", lambda: b"not a zip", "damaged .docx file"),
    "encrypted docx": ("a.docx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted .docx file"),
    "zip of something else": ("a.docx", lambda: archive({"x": "y"}), "damaged .docx file"),
    "zip bomb": ("a.docx", lambda: archive({"word/document.xml": " " * (24 << 20)}), "archive out of proportion"),
    "epub without a spine": ("a.epub", lambda: archive({"META-INF/container.xml": "<a/>"}), "damaged .epub file"),
    "entities": (
        "a.epub",
        lambda: archive({"META-INF/container.xml": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'}),
        "damaged .epub file",
    ),
    "deep page": ("a.html", lambda: b"<div>" * 10_000 + b"x", "page that is nested too deeply"),
    "large page": ("a.html", lambda: b"x" * (33 << 20), "file that is too large"),
    "notebook that is none": ("a.ipynb", lambda: b"[", "damaged .ipynb file"),
    "deep notebook": ("a.ipynb", lambda: b"[" * 200_000, "damaged .ipynb file"),
    "binary table": ("a.csv", lambda: bytes(range(256)), "damaged .csv file"),
    "empty pdf": ("a.pdf", lambda: b"", "damaged .pdf file"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_told_and_the_next_one_read(kind: str, tmp_path: Path, readers: Readers) -> None:
    name, make, reason = BROKEN[kind]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(UnreadableFileError) as caught:
        list(readers.parts(tmp_path / name))
    assert caught.value.kind == reason
    (tmp_path / "z.eml").write_bytes(message().as_bytes())
    assert [part.text for part in readers.parts(tmp_path / "z.eml")] == ["# Leave in May\n\nMay I have leave in May?"]


def test_a_folder_with_broken_files_is_read_without_them(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(["Only this."]))
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4 nonsense")
    (tmp_path / "c.docx").write_bytes(b"PK nonsense")
    (tmp_path / "d.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    os.mkfifo(tmp_path / "e.pdf")
    skipped: list[Skipped] = []
    assert [one.text for one in read_documents(tmp_path, skipped=skipped)] == ["Only this."]
    assert {one.name: one.kind for one in skipped} == {
        "b.pdf": "damaged .pdf file",
        "c.docx": "damaged .docx file",
        "d.csv": '.csv file without text in "text"',
        "e.pdf": "special file (pipe, socket or device)",
    }


def test_rows_of_a_table_that_are_too_wide_are_told(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("id,text\n1,a good row\n2,a row, with a comma\n3,another\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.csv:3: 3 cells, where the first line names 2"):
        read_documents(table)
    skipped: list[Skipped] = []
    with Readers() as readers:
        found = [one.text for one in read_file(table, "a.csv", readers, skipped=skipped)]
    assert found == ["a good row", "another"]
    assert [(one.kind, one.advice) for one in skipped] == [
        ("rows without text", "1 of its rows, the first line 3: 3 cells, where the first line names 2")
    ]


def test_a_reader_that_hangs_or_dies_costs_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.eml").write_bytes(message().as_bytes())
    worker = tmp_path / "worker.py"
    monkeypatch.setattr("burnish.corpus.reader_worker.__file__", str(worker))
    for program, reason in (
        ("import time; time.sleep(600)", "file that takes too long to read"),
        ("import os; os.abort()", ".eml file that crashes its reader"),
    ):
        worker.write_text(program, encoding="utf-8")
        with Readers(seconds=1.5) as readers, pytest.raises(UnreadableFileError) as caught:
            list(readers.parts(tmp_path / "a.eml"))
        assert caught.value.kind == reason


def test_headings_and_lists_of_a_manual_without_an_article_stay(tmp_path: Path) -> None:
    paragraph = "The journal works by writing a copy of the original content into a separate file, and then the change."
    file = tmp_path / "wal.html"
    file.write_text(
        f"""<html><body><div class=menu><ul><li><a href="/">Home</a><li><a href="/docs">Documentation</a></ul></div>
        <div class=fancy><h1 id="o"><span>1. </span>Overview</h1><p>{paragraph}</p><p>Advantages are:</p>
        <ol><li>It is faster.</li><li>Readers do not block writers.</li></ol>
        <h2 id="c"><span>1.1. </span>Checkpoints</h2><p>{paragraph} Also backwards.</p></div></body>""",
        encoding="utf-8",
    )
    (document,) = read_documents(file)
    lines = document.text.splitlines()
    assert {"# 1. Overview", "## 1.1. Checkpoints", "1. It is faster."} <= set(lines)
    assert not {"Home", "Documentation"} & set(document.text.split())


def test_a_broken_part_does_not_cost_the_mailbox(tmp_path: Path) -> None:
    file = tmp_path / "letters.mbox"
    file.write_bytes(
        b"From a@b Thu Jan  1 00:00:00 1970\nSubject: one\nContent-Type: text/plain; charset=no-such\n\n"
        b"caf\xc3\xa9 \xff\n\n"
        b"From c@d Thu Jan  1 00:00:00 1970\nSubject: two\n\nThe second.\n"
    )
    assert [document.text for document in read_documents(file)] == ["# one\n\ncaf\u00e9 \ufffd", "# two\n\nThe second."]


def test_a_quote_that_is_not_closed_does_not_swallow_the_table_in_silence(tmp_path: Path, readers: Readers) -> None:
    file = tmp_path / "notes.csv"
    file.write_text('text,n\nfirst,1\n"never closed,2\nthird,3\n', encoding="utf-8")
    parts = readers.parts(file)
    assert json.loads(next(parts).text) == {"text": "first", "n": "1"}
    with pytest.raises(UnreadableFileError, match="never closed"):
        next(parts)
    file.write_text('text,n\na 5" pipe,1\n"two\nlines",2\n', encoding="utf-8")
    assert [json.loads(part.text)["text"] for part in readers.parts(file)] == ['a 5" pipe', "two\nlines"]
