"""The index: made, read again, searched, and refused where it is not what was written."""

import json
from pathlib import Path

import pytest

from burnish.errors import BurnishError, DataError
from burnish.retrieval import Index, IndexSettings
from burnish.retrieval.grounding import Passages, cited, ground

DOCUMENTS = {
    "tasks.md": "# Tasks\n\nTasks run coroutines.\n\n## Cancelling\n\nCall cancel() to cancel a task — it raises.\n",
    "queues.md": "# Queues\n\nA queue holds items. Größe: maxsize bounds it.\n",
    "sub/code.py": "# cancel everything\nfor task in tasks:\n    task.cancel()\n",
}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name, text in DOCUMENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def index(documents: Path, tmp_path: Path) -> Index:
    return Index.build(documents, tmp_path / "index")[0]


def test_a_question_finds_the_passage_with_its_document_and_heading(index: Index) -> None:
    hit = index.search("How do I cancel a task?")[0]
    assert (hit.document, hit.heading) == ("tasks.md", "Tasks > Cancelling")
    assert hit.text == "Call cancel() to cancel a task — it raises."
    assert hit.place == "tasks.md, Tasks > Cancelling"
    assert index.search("größe")[0].text == "A queue holds items. Größe: maxsize bounds it."
    assert {one.document for one in index.search("cancel", k=10)} == {"tasks.md", "sub/code.py"}
    assert index.search("zebra") == []


def test_what_is_read_again_finds_the_same(index: Index) -> None:
    again = Index.open(index.folder)
    assert len(again) == len(index) == 4
    assert again.search("cancel task") == index.search("cancel task")


def test_files_that_are_not_indexed_are_told(documents: Path, tmp_path: Path) -> None:
    (documents / "empty.md").write_text(" \n")
    (documents / "photo.png").write_bytes(b"\x89PNG\r\n")
    _, changes = Index.build([documents], tmp_path / "index")
    assert changes.added == 3
    assert {one.name: one.kind for one in changes.skipped} == {"empty.md": "empty file", "photo.png": ".png file"}


def test_nothing_to_index_is_an_error_and_leaves_an_index_as_it_was(index: Index, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "empty.md").write_text("")
    with pytest.raises(DataError, match="there is no document with a word in it to index"):
        Index.build(tmp_path / "none", index.folder)
    assert Index.open(index.folder).search("cancel")


def test_a_folder_of_something_else_is_left_alone(documents: Path) -> None:
    with pytest.raises(BurnishError, match=r"there is a folder that is no index \(no index.json\)"):
        Index.build(documents, documents)
    assert (documents / "tasks.md").exists()


@pytest.mark.parametrize(
    ("query", "message"),
    [("", "the question is empty"), (" \n", "the question is empty"), ("x" * 1_000_000, "has 1,000,000 characters")],
)
def test_questions_that_are_none(index: Index, query: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        index.search(query)


def test_a_question_of_signs_alone_finds_nothing(index: Index) -> None:
    assert index.search("?!") == []


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match=r"there is no such folder; an index is made by `burnish index"):
        Index.open(tmp_path / "missing")
    with pytest.raises(BurnishError, match=r"no index \(no index.json\)"):
        Index.open(tmp_path)


def test_another_version_says_so(index: Index) -> None:
    from burnish.kept import read_json, write_json

    file = index.folder / "index.json"
    write_json(file, read_json(file) | {"format": 99})
    with pytest.raises(BurnishError, match="format 99, written by another version of Burnish; this one reads 1"):
        Index.open(index.folder)


@pytest.mark.parametrize(
    "name",
    ["texts.txt", "documents.jsonl", "headings.json", "passages.safetensors", "vocabulary.json", "terms.safetensors"],
)
def test_missing_and_damaged_files_are_named(index: Index, name: str) -> None:
    file = index.folder / name
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BurnishError, match=f"{name}: its content is not what was written"):
        Index.open(index.folder)
    file.unlink()
    with pytest.raises(BurnishError, match=f"{name}: is missing"):
        Index.open(index.folder)


def test_a_damaged_header_is_named(index: Index) -> None:
    (index.folder / "index.json").write_text("{")
    with pytest.raises(BurnishError, match=r"index\.json: cannot be read"):
        Index.open(index.folder)


def test_overlap_is_at_most_half_of_a_passage() -> None:
    with pytest.raises(ValueError, match=r"overlap: got 20; expected at most half of size \(30\)"):
        IndexSettings(size=30, overlap=20)


def test_rows_of_data_files_are_documents(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"text": "alpha beta", "source": "a.html"}, {"text": "gamma delta"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    index, _ = Index.build(file, tmp_path / "index")
    assert [index.search(word)[0].document for word in ("beta", "gamma")] == ["a.html", "rows.jsonl:2"]


def words(text: str) -> int:
    return len(text.split())


def test_a_question_stands_behind_the_passages_that_have_room(index: Index) -> None:
    hits = index.search("cancel task", k=3)
    whole = ground("Why?", hits, words, max_tokens=1000)
    first, second, question = (whole.prompt.index(part) for part in (f"[1] {hits[0].place}", "[2] ", "Question: Why?"))
    assert first < second < question
    some = ground("Why?", hits, words, max_tokens=45)
    assert 0 < len(some.hits) < len(hits)
    assert some.left_out == len(hits) - len(some.hits)
    none = Passages(index, k=2).ground("cancel", words, room=3)
    assert (none.prompt, none.hits, none.left_out) == ("cancel", (), 2)


def test_citations_are_the_numbers_of_passages() -> None:
    assert cited("As [2] and [1, 3] say; see [7] and x[0].", 3) == [1, 2, 3]
