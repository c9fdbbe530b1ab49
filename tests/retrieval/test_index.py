"""The index: made, read again, searched, and refused where it is not what was written."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.corpus.embeddings import Embedder
from burnish.errors import BurnishError, DataError
from burnish.files import sha256
from burnish.kept import read_json, write_json
from burnish.retrieval import Index, IndexSettings, build
from burnish.retrieval.examples import Examples
from burnish.retrieval.grounding import Passages, cited, ground
from tiny_encoder import save_encoder

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
    [
        ("", "the question is empty"),
        (" \n", "the question is empty"),
        ("x" * 1_000_000, "has 1,000,000 characters"),
        ("caf\udce9", "the question is no text"),
    ],
)
def test_questions_that_are_none(index: Index, query: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        index.search(query)


def test_a_question_of_signs_alone_finds_nothing(index: Index) -> None:
    assert index.search("?!") == []


def test_documents_without_words_are_indexed_and_never_found(tmp_path: Path) -> None:
    (tmp_path / "signs.md").write_text("... !!!\n")
    index, _ = Index.build(tmp_path / "signs.md", tmp_path / "index", IndexSettings(graph=True))
    assert len(index) == 1
    assert index.search("signs") == index.search("signs", ranking="graph") == []


def test_an_index_among_its_documents_is_none_of_them(documents: Path) -> None:
    for _ in range(2):
        index, changes = Index.build(documents, documents / "index")
        assert len(index.documents) == 3
    assert changes.kept == 3


@pytest.mark.parametrize("name", ["documents", "headings", "starts", "ends"])
def test_passages_that_stand_nowhere_are_refused(index: Index, name: str) -> None:
    """A file that was made up has a right sum, and must not be believed either."""
    arrays = load_file(index.folder / "passages.safetensors")
    arrays[name] = arrays[name] + 10_000
    save_file(arrays, index.folder / "passages.safetensors")
    header = read_json(index.folder / "index.json")
    header["files"]["passages.safetensors"] = sha256(index.folder / "passages.safetensors")
    write_json(index.folder / "index.json", header)
    with pytest.raises(BurnishError, match="not an index as this version writes it"):
        Index.open(index.folder)


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match=r"there is no such folder; an index is made by `burnish index"):
        Index.open(tmp_path / "missing")
    with pytest.raises(BurnishError, match=r"no index \(no index.json\)"):
        Index.open(tmp_path)


def test_another_version_says_so(index: Index) -> None:
    file = index.folder / "index.json"
    write_json(file, read_json(file) | {"format": 99})
    with pytest.raises(BurnishError, match="format 99, written by another version of Burnish; this one reads 1"):
        Index.open(index.folder)


@pytest.mark.parametrize(
    "name",
    ["texts.utf8", "documents.json", "headings.json", "passages.safetensors", "vocabulary.json", "terms.safetensors"],
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


@pytest.fixture
def embedded(documents: Path, tmp_path: Path) -> Index:
    encoder = save_encoder(tmp_path / "encoder")
    settings = IndexSettings(size=24, overlap=4)
    options = {"compute_dtype": "float32", "device": "cpu"}
    return Index.build(documents, tmp_path / "index", settings, encoder=str(encoder), **options)[0]


def test_a_passage_is_its_own_nearest_neighbour(embedded: Index) -> None:
    for number, text in enumerate(embedded.searched()):
        best, *_ = embedded.search(text, k=2, ranking="embeddings")
        assert (best.passage, best.score) == (number, pytest.approx(1.0, abs=1e-5))


def test_rankings_are_fused_by_reciprocal_ranks(embedded: Index) -> None:
    query = "cancel a task"
    ranks = {
        ranking: {hit.passage: rank for rank, hit in enumerate(embedded.search(query, k=9, ranking=ranking), start=1)}
        for ranking in ("bm25", "embeddings")
    }
    fused = embedded.search(query, k=9)
    for hit in fused:
        assert hit.score == pytest.approx(sum(1 / (60 + of[hit.passage]) for of in ranks.values() if hit.passage in of))
    assert [hit.score for hit in fused] == sorted((hit.score for hit in fused), reverse=True)
    assert len(fused) == len(embedded)


def test_only_what_has_changed_is_embedded_again(
    embedded: Index, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    embed = Embedder.embed

    def watched(self: Embedder, texts: list[str], kind: str) -> Any:
        seen.extend(texts)
        return embed(self, texts, kind)

    monkeypatch.setattr(Embedder, "embed", watched)
    before = dict(zip(embedded.searched(), embedded.vectors, strict=True))
    (documents / "queues.md").unlink()
    tasks = documents / "tasks.md"
    tasks.write_text(tasks.read_text() + "\n## Naming\n\nA task has a name.\n")
    updated, changes = embedded.update(documents)
    assert seen == ["Tasks > Naming\nA task has a name."]
    assert (changes.added, changes.removed, changes.kept) == (1, 2, 1)
    fresh, _ = Index.build(
        documents, documents.parent / "fresh", embedded.settings, encoder=embedded.encoder.reference, device="cpu"
    )
    for query in ("task", "name"):
        assert updated.search(query, ranking="bm25") == fresh.search(query, ranking="bm25")
    for text, vector in zip(updated.searched(), updated.vectors, strict=True):
        if text in before:
            assert np.array_equal(vector, before[text])
    assert list(updated.searched()) == list(fresh.searched())


def test_a_killed_build_goes_on_where_it_was(documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = str(save_encoder(tmp_path / "encoder"))
    monkeypatch.setattr(build, "GROUP", 1)
    embed, calls = Embedder.embed, []

    def killed(self: Embedder, texts: list[str], kind: str) -> Any:
        calls.append(texts)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return embed(self, texts, kind)

    monkeypatch.setattr(Embedder, "embed", killed)
    with pytest.raises(KeyboardInterrupt):
        Index.build(documents, tmp_path / "index", encoder=encoder, device="cpu")
    assert not (tmp_path / "index").exists()
    index, _ = Index.build(documents, tmp_path / "index", encoder=encoder, device="cpu")
    assert len(calls) == 1 + len(index), "the two that were kept are not computed again"
    assert not list(tmp_path.glob(".index*"))


def test_another_encoder_is_refused_and_a_missing_one_named(embedded: Index, tmp_path: Path) -> None:
    other = save_encoder(tmp_path / "other", seed=1)
    with pytest.raises(BurnishError, match="is not the encoder that it was made with"):
        Index.open(embedded.folder, encoder=str(other)).search("task")
    shutil.move(tmp_path / "encoder", tmp_path / "moved")
    with pytest.raises(BurnishError, match="the encoder that it was made with is not there"):
        Index.open(embedded.folder).search("task")
    assert Index.open(embedded.folder).search("task", ranking="bm25")
    assert Index.open(embedded.folder, encoder=str(tmp_path / "moved"), device="cpu").search("task")


def test_an_index_without_vectors_says_so(index: Index) -> None:
    with pytest.raises(BurnishError, match="was made without an encoder"):
        index.search("task", ranking="embeddings")


def test_a_folder_without_an_encoder_is_refused_before_anything_is_read(documents: Path, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match=r"no encoder \(no config.json\)"):
        Index.build(documents, tmp_path / "index", encoder=str(documents))


@pytest.mark.slow
def test_the_real_encoder_finds_by_meaning(documents: Path, tmp_path: Path, minilm_path: Path) -> None:
    index, _ = Index.build(documents, tmp_path / "index", encoder=str(minilm_path), device="cpu")
    query = "How can I abort the job?"
    assert index.search(query, ranking="bm25") == []
    assert "cancel" in index.search(query, ranking="embeddings")[0].text


def test_examples_like_a_question_come_the_nearest_last() -> None:
    examples = Examples([("sum of 2 and 3", "5"), ("sum of two apples", "2"), ("colour of grass", "green")])
    assert examples.like("sum of 2 and 4", 2) == [("sum of two apples", "2"), ("sum of 2 and 3", "5")]
    shown = examples.like("sum of 2 and 3", 5)
    assert shown == [("colour of grass", "green"), ("sum of two apples", "2")], "never the question itself"
    assert examples.like("zebra", 2) == []
