"""Documents from files, folders and patterns."""

import gzip
import json
from pathlib import Path

import pytest

from burnish.corpus.documents import Document, content_id, read_documents
from burnish.corpus.folders import Skipped
from burnish.errors import DataError
from burnish.recipes.plan.outside import found_outside


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "guide").mkdir(parents=True)
    (folder / "guide" / "a.md").write_bytes(b"\xef\xbb\xbf# A\r\n")
    (folder / "b.txt").write_text("B", encoding="utf-8")
    (folder / "c.txt.gz").write_bytes(gzip.compress(b"C"))
    (folder / "d.jsonl").write_text('{"text": "D"}\n{"id": 7, "text": "E", "source": "wiki"}\n', encoding="utf-8")
    for name in ("logo.png", "package.json", ".hidden.txt"):
        (folder / name).write_bytes(b"\x89")
    skipped: list[Skipped] = []
    documents = read_documents(folder, skipped=skipped)
    assert documents == [
        Document(content_id("B"), "B", "b.txt"),
        Document(content_id("C"), "C", "c.txt.gz"),
        Document(content_id("D"), "D", "d.jsonl:1"),
        Document("7", "E", "wiki"),
        Document(content_id("# A\r\n"), "# A\r\n", "guide/a.md"),
    ]
    assert [one.path for one in skipped] == [folder / ".hidden.txt", folder / "logo.png", folder / "package.json"]
    assert [document.text for document in read_documents([folder / "b.txt", f"{folder}/*.txt*"])] == ["B", "C"]


def test_a_folder_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "[2024] a*b?"
    folder.mkdir()
    (folder / "c.md").write_text("C")
    for written in ("*.md", "[c].md", "c.md"):
        assert [document.text for document in read_documents(folder / written)] == ["C"]
        assert found_outside(written, "documents", folder) == (folder / "c.md",)


def test_ids_depend_on_the_text_only(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "A"}\n{"text": "B"}\n', encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "C"}\n{"text": "B"}\n', encoding="utf-8")
    first, second = (read_documents(tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    assert first[1].id == second[1].id
    assert len({document.id for document in first + second}) == 3


def test_another_column_and_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.Table.from_pylist([{"body": "A", "key": "x"}, {"body": "B", "key": "y"}])
    parquet.write_table(table, tmp_path / "rows.parquet")
    documents = read_documents(tmp_path / "rows.parquet", text_key="body", id_key="key")
    assert documents == [Document("x", "A", "rows.parquet:1"), Document("y", "B", "rows.parquet:2")]


BAD = {
    "odt": ("page.odt", b"<p>", r"page\.odt: \.odt files are not read; convert it to Markdown or text first"),
    "pdf": ("page.pdf", b"%PDF", "damaged .pdf file"),
    "unknown": ("page.xyz", b"x", r"\.xyz files are not read; expected one of \.txt"),
    "no suffix": ("page", b"x", "this kind of files are not read"),
    "not utf-8": ("page.txt", b"one\ntw\xf6", r"page\.txt:2: byte 6 \(0xf6\) is not UTF-8"),
    "utf-16": ("page.txt", "text".encode("utf-16"), "the file is UTF-16"),
    "truncated gzip": ("page.txt.gz", gzip.compress(b"text" * 99)[:-9], "the gzip data ends early"),
    "no text key": ("rows.jsonl", b'{"texts": "A"}\n', r'rows\.jsonl:1: "text" is missing; did you mean "texts"\?'),
    "other keys": ("rows.jsonl", b'{"body": "A"}\n', r"\"text\" is missing; the row has 'body'"),
    "not text": ("rows.jsonl", b'{"text": "A"}\n{"text": 4}\n', r"rows\.jsonl:2: text is 4; expected text"),
    "empty": ("rows.jsonl", b"", "the file holds no rows"),
}


@pytest.mark.parametrize(("name", "data", "expected"), BAD.values(), ids=BAD)
def test_bad_documents(name: str, data: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=expected):
        read_documents(tmp_path / name)


def test_a_folder_without_documents(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no document; expected"):
        read_documents(tmp_path)


def test_all_bad_rows_of_all_files_are_reported(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"content": name}) + "\n{\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_documents(tmp_path)
    assert [line.split(": ")[0][-9:] for line in str(caught.value).splitlines()] == [
        "a.jsonl:1",
        "a.jsonl:2",
        "b.jsonl:1",
        "b.jsonl:2",
    ]


def test_real_web_pages_and_articles(shared_data: Path) -> None:
    assert len(read_documents(shared_data / "c4_demo.jsonl")) == 300
    assert len(read_documents(shared_data / "wiki_demo.txt")) == 1
