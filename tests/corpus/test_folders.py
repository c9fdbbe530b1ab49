"""Of a folder nothing is passed over in silence: what is no document is told with its reason."""

import gzip
import os
import random
from pathlib import Path

import pytest

from burnish.corpus import text_files as reader
from burnish.corpus.documents import read_documents
from burnish.corpus.folders import Skipped, counts, describe, rows
from burnish.errors import DataError

NOISE = random.Random(1).randbytes(5000)

# Name, content, kind that it is counted as, part of the advice.
FILES = {
    "an image": ("logo.png", b"\x89PNG\r\n", ".png file", ""),
    "an OpenDocument": ("page.odt", b"PK", ".odt file", "pandoc"),
    "a damaged PDF file": ("book.PDF", b"%PDF-1.7", "damaged .pdf file", "Failed to load"),
    "a spreadsheet": ("table.xlsx", b"PK", ".xlsx file", "JSON lines"),
    "an archive": ("old.zip", b"PK\x03\x04", ".zip file", "unpack"),
    "a packed archive": ("old.tar.gz", gzip.compress(b"x"), ".tar file", "unpack"),
    "settings": ("package.json", b"{}", ".json file", "name the file itself"),
    "no suffix": ("README", b"text", "file without a suffix", ""),
    "hidden": (".hidden.txt", b"text", "hidden file", ""),
    "empty": ("empty.txt", b"", "empty file", ""),
    "blank": ("blank.md", b" \n\n\t", "empty file", ""),
    "empty rows": ("empty.jsonl", b"", ".jsonl file that cannot be read", "holds no rows"),
    "Latin 1": ("old.txt", "früher".encode("latin-1"), "file that is not UTF-8", "iconv"),
    "UTF-16": ("windows.txt", "text".encode("utf-16"), "file that is not UTF-8", "UTF-16"),
    "UTF-16 without a mark": ("w.txt", ("Some text. " * 9).encode("utf-16-le"), "file that is not UTF-8", "UTF-16"),
    "noise": ("noise.txt", NOISE, "file that is not UTF-8", ""),
    "control characters": ("core.txt", b"\x00\x01\x02text" * 50, "binary file", "control characters"),
    "a PDF file called text": ("scan.txt", b"%PDF-1.7 text", "binary file", "a PDF file"),
    "a Word file called text": ("letter.txt", b"PK\x03\x04 word", "binary file", "ZIP"),
    "half a gzip file": (
        "half.txt.gz",
        gzip.compress(b"text" * 99)[:-9],
        ".txt file that cannot be read",
        "ends early",
    ),
    "rows of something else": (
        "chats.jsonl",
        b'{"messages": []}\n' * 9,
        '.jsonl file without text in "text"',
        "line 1: \"text\" is missing; the row has 'messages'",
    ),
    "rows with another column": ("old.ndjson", b'{"texts": "A"}', '.ndjson file without text in "text"', '"texts"?'),
    "packed rows": ("log.jsonl.gz", gzip.compress(b'{"at": 1}\n{\n'), '.jsonl file without text in "text"', "'at'"),
    "texts that are none": ("ids.jsonl", b'{"text": 4}\n', '.jsonl file without text in "text"', "text is 4"),
    "no rows": ("list.jsonl", b"[1, 2]", '.jsonl file without text in "text"', "expected a JSON object"),
    "no Parquet": ("rows.parquet", b"text", ".parquet file that cannot be read", "not a Parquet file"),
}


@pytest.mark.parametrize(("name", "data", "kind", "advice"), FILES.values(), ids=FILES)
def test_what_is_no_document_is_told_with_its_reason(
    name: str, data: bytes, kind: str, advice: str, tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text("A text.", encoding="utf-8")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / name).write_bytes(data)
    skipped: list[Skipped] = []
    assert [document.text for document in read_documents(tmp_path, skipped=skipped)] == ["A text."]
    assert [(one.path, one.name, one.kind) for one in skipped] == [(tmp_path / "below" / name, f"below/{name}", kind)]
    assert advice in skipped[0].advice


def test_folders_links_and_special_files_are_told_too(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config.txt").write_text("hidden")
    (folder / "a.txt").write_text("A")
    (folder / "again.txt").symlink_to("a.txt")
    (folder / "gone.txt").symlink_to("nowhere")
    (folder / "round.txt").symlink_to("round.txt")
    (folder / "up").symlink_to(folder)
    os.mkfifo(folder / "pipe.txt")
    skipped: list[Skipped] = []
    assert [document.source for document in read_documents(folder, skipped=skipped)] == ["a.txt"]
    assert {one.name: one.kind for one in skipped} == {
        ".git/": "hidden folder",
        "again.txt": "file that is there twice",
        "gone.txt": "broken link",
        "pipe.txt": "special file (pipe, socket or device)",
        "round.txt": "link that leads round in a circle",
        "up/": "link to a folder",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("A text.")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.txt").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    skipped: list[Skipped] = []
    assert len(read_documents(tmp_path, skipped=skipped)) == 1
    assert {one.name for one in skipped} == {"secret.txt", "closed/"}


def test_what_the_system_refuses_to_open_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, also where the tests run as the superuser."""
    (tmp_path / "good.txt").write_text("A text.")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "closed").mkdir()
    opened, listed = os.open, os.scandir

    def guarded_open(path: Path, *arguments: int) -> int:
        if Path(path).name == "secret.txt":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments)

    def guarded_scandir(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "open", guarded_open)
    monkeypatch.setattr(os, "scandir", guarded_scandir)
    skipped: list[Skipped] = []
    assert len(read_documents(tmp_path, skipped=skipped)) == 1
    assert {one.name: one.kind for one in skipped} == {
        "closed/": "unreadable folder (Permission denied)",
        "secret.txt": ".txt file that cannot be read",
    }


def test_a_text_is_read_up_to_a_limit_also_when_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_TEXT_BYTES", 3 << 20)
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(b"a" * (4 << 20)))
    (tmp_path / "long.txt").write_bytes(b"b" * (2 << 20))
    skipped: list[Skipped] = []
    (document,) = read_documents(tmp_path, skipped=skipped)
    assert len(document.text) == 2 << 20
    assert counts(skipped) == {"file that is too large": 1}
    with pytest.raises(DataError, match=r"bomb\.txt\.gz: larger than 3 MiB unpacked; split it"):
        read_documents(tmp_path / "bomb.txt.gz")


def test_stray_control_characters_do_not_make_a_text_binary(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfA text with a NUL\x00 and an escape \x1b[1m in it.\r\n" * 3)
    assert len(read_documents(tmp_path)) == 1


def test_an_empty_folder_says_what_lay_in_it(tmp_path: Path) -> None:
    for name in ("a.odt", "b.odt", "c.png"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"there is no document(.|\n)*Not read:\n2 \.odt file: a\.odt, b\.odt; convert"):
        read_documents(tmp_path)


def test_a_summary_names_some_and_the_rows_all(tmp_path: Path) -> None:
    skipped = [Skipped(tmp_path / f"{i}.pdf", f"{i}.pdf", ".pdf file", "convert it") for i in range(9)]
    skipped.append(Skipped(tmp_path / "bad\udcff.png", "bad\udcff.png", ".png file"))
    assert describe(skipped).splitlines() == [
        "9 .pdf file: 0.pdf, 1.pdf, 2.pdf, …; convert it",
        "1 .png file: bad\\xff.png",
    ]
    assert [row["file"] for row in rows(skipped)] == [*(f"{i}.pdf" for i in range(9)), "bad\\xff.png"]


def test_a_file_of_rows_is_skipped_in_a_folder_only_and_only_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("A text.", encoding="utf-8")
    chats = tmp_path / "chats.jsonl"
    chats.write_text('{"messages": []}\n', encoding="utf-8")
    assert len(read_documents(tmp_path)) == 1
    for named in (chats, tmp_path / "*.jsonl", [chats, tmp_path], [tmp_path, chats]):
        with pytest.raises(DataError, match=r'chats\.jsonl:1: "text" is missing'):
            read_documents(named)
    # A file of documents with a bad row among them is mended, not left out, and not read in part.
    (tmp_path / "mixed.jsonl").write_text('{"text": "B"}\n{"text": null}\n{\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_documents(tmp_path)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{tmp_path / 'mixed.jsonl'}:{line}" for line in (2, 3)
    ]


def test_parquet_without_a_text_column_is_skipped_in_a_folder(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist([{"body": "A"}]), tmp_path / "rows.parquet")
    (tmp_path / "good.txt").write_text("A text.", encoding="utf-8")
    skipped: list[Skipped] = []
    assert len(read_documents(tmp_path, skipped=skipped)) == 1
    assert counts(skipped) == {'.parquet file without text in "text"': 1}
    assert len(read_documents(tmp_path, text_key="body")) == 2
