"""Questions and answers that stand in a document's structure."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from burnish.corpus.documents import Document
from burnish.datasets.rows import read_conversations, read_tasks
from burnish.errors import DataError
from burnish.rewards.choice import read_options
from burnish.runs.run import Run
from burnish.synthesis.chunk import RULES
from burnish.synthesis.documents import chunks, read
from burnish.synthesis.extract import pairs
from burnish.synthesis.names import Named, defaults, named
from burnish.synthesis.rows import Pair
from burnish.synthesis.settings import Settings
from burnish.synthesis.synthesize import Synthesis, synthesize

PAGE = """\
# 3. Files

A file is a piece of text that has a name and lies on a disk.

## 3.1 How do I copy a file?

Call `copy`, and wait until it says that it is done.

## 3.2 Functions

-
files.copy(*source*, *target*, *mode='fast'*)¶
- Copies all the bytes of one file into another file. New in version 2.4.

-
files.move(*source*, *target*, *retries=3*)¶
- Moves a file into another folder of the same machine.

## 3.3 Limits

| Kind | Largest |
|---|---|
| text | 2 GB |
| image | 7 GB |
| sound | 9 GB |

A name of a file may have at most 255 characters and no slash.

To see what is there, write this:

```
>>> files.list("docs")
['a.txt']
```
"""


def found(text: str, name: str = "files.md") -> dict[str, list[Pair]]:
    by_rule: dict[str, list[Pair]] = {}
    for chunk in chunks(Document("x", text, name), 3000):
        for pair in pairs(chunk, RULES, 400):
            by_rule.setdefault(pair.source.method, []).append(pair)
    return by_rule


def test_each_rule_reads_what_stands_there() -> None:
    rules = found(PAGE)
    said = {rule: [(pair.question, pair.answer) for pair in of_rule] for rule, of_rule in rules.items()}
    assert said["statement"][0][1] == "A file is a piece of text that has a name and lies on a disk."
    assert "a file" in said["statement"][0][0]
    assert said["faq"][0][1] == "Call `copy`, and wait until it says that it is done."
    assert said["faq"][0][0].endswith("How do I copy a file?")
    assert [answer for _, answer in said["definition"]] == [
        "Copies all the bytes of one file into another file. New in version 2.4.",
        "Moves a file into another folder of the same machine.",
    ]
    assert [answer for _, answer in said["term"]] == ["`files.copy`", "`files.move`"]
    assert [answer for _, answer in said["signature"]] == [
        "`files.copy(source, target, mode='fast')`",
        "`files.move(source, target, retries=3)`",
    ]
    assert [answer for _, answer in said["default"]] == ["`'fast'`", "`3`"]
    assert [answer for _, answer in said["version"]] == ["2.4"]
    assert [answer for _, answer in said["table"]] == ["2 GB", "7 GB", "9 GB"]
    assert all("Largest" in question for question, _ in said["table"])
    assert ("255", True) in [(pair.answer, "____" in pair.question) for pair in rules["gap"]]
    assert said["session"][0][1] == "`['a.txt']`"
    assert said["example"][0][1].startswith("```\n>>> files.list")


def test_every_answer_stands_in_its_document_and_says_where() -> None:
    for rule, of_rule in found(PAGE).items():
        for pair in of_rule:
            assert pair.source.document == "files.md"
            assert pair.source.method == rule
            assert pair.source.teacher is None
            for word in pair.answer.strip("`").replace("```", "").split():
                assert word.strip("`") in PAGE.replace("*", "")


def test_terms_and_defaults() -> None:
    assert named("This is a sentence, and no term at all.") is None
    assert named("class json.Encoder") == Named("json.Encoder")
    assert named("async fetch(url, *, retries=3) -> bytes") == Named("fetch", "(url, *, retries=3)")
    assert named("const char *Get_Name(Object *module)") == Named("Get_Name", "(Object *module)")
    assert named("`--force`") == Named("--force")
    assert defaults("(a, b: int = 3, *, c='x,y', d=f(1, 2))") == [("b", "3"), ("c", "'x,y'"), ("d", "f(1, 2)")]
    assert defaults("(a[, b=None[, c=1]])") == [("b", "None"), ("c", "1")]


def library(n: int = 12) -> list[Document]:
    """Pages that differ in their functions, numbers and titles, and share one question with two answers."""
    texts = []
    for page in range(n):
        functions = "\n".join(
            f"- \nlib{page}.call{page}{i}(*a*, *size={page * 10 + i}*)¶\n"
            f"- Does thing number {page}{i} with all the care that such a thing of page {page} deserves.\n"
            for i in range(4)
        )
        texts.append(
            f"# Page {page} of all\n\n{functions}\n## What is a widget?\n\nThe widget is number {page} of many.\n"
        )
    return [Document(str(page), text, f"page{page}.md") for page, text in enumerate(texts)]


def made(tmp_path: Path, documents: Iterable[Document], **settings: Any) -> Synthesis:
    return synthesize(documents, Settings.model_validate(settings), Run(tmp_path))


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_files_are_read_by_those_who_need_them(tmp_path: Path) -> None:
    made(tmp_path, library())
    conversations = read_conversations(tmp_path / "train.jsonl")
    assert len(conversations) > 100
    assert not any(one.unused for one in conversations)
    tasks = read_tasks(tmp_path / "questions.jsonl")
    assert len(tasks) > 5
    assert all(task.row["answer"] for task in tasks)
    for task in read_tasks(tmp_path / "choices.jsonl"):
        options = read_options(task.row, "choices", "answer")
        assert len(set(options.texts)) == 4
        assert f"{task.row['answer']}. {options.texts[options.right]}" in str(task.prompt)


def test_held_out_documents_are_not_learned_from(tmp_path: Path) -> None:
    synthesis = made(tmp_path, library(), heldout={"share": 0.25})
    taught = {row["provenance"]["document"] for row in rows(tmp_path / "train.jsonl")}
    asked = {row["provenance"]["document"] for row in rows(tmp_path / "questions.jsonl")}
    assert len(asked) == synthesis.held == 3
    assert not taught & asked
    more = tmp_path / "more"
    made(more, [*library(), Document("new", "# New\n\nThe new page is a page of its own.", "new.md")])
    again = {row["provenance"]["document"] for row in rows(more / "train.jsonl")}
    assert len((taught ^ again) - {"new.md"}) <= 2


def test_few_documents_are_held_out_in_chunks(tmp_path: Path) -> None:
    synthesis = made(tmp_path, [Document("x", PAGE, "files.md")], heldout={"share": 0.4})
    assert synthesis.by_chunk
    assert synthesis.held >= 1
    taught = {row["provenance"]["hash"] for row in rows(tmp_path / "train.jsonl")}
    assert not taught & {row["provenance"]["hash"] for row in rows(tmp_path / "questions.jsonl")}


def test_contradictions_are_reported_and_not_learned(tmp_path: Path) -> None:
    synthesis = made(tmp_path, library(), heldout={"share": 0})
    record = synthesis.record()
    assert record["removed"]["contradiction"] >= 2
    assert record["contradictions"][0]["question"].endswith("What is a widget?")
    taught = [row["messages"][0]["content"] for row in rows(tmp_path / "train.jsonl")]
    assert "What is a widget?" not in taught
    assert len(set(taught)) == len(taught)


def test_what_is_removed_is_counted_and_written(tmp_path: Path) -> None:
    synthesis = made(tmp_path, library(), extract={"per_document": 2})
    counts = synthesis.record()["removed"]
    assert counts["more than per_document"] > 0
    assert len(rows(tmp_path / "removed.jsonl")) == sum(counts.values()) == len(synthesis.removed)


def test_output_does_not_depend_on_the_order_of_documents(tmp_path: Path) -> None:
    made(tmp_path / "a", library())
    made(tmp_path / "b", reversed(library()))
    for name in ("train.jsonl", "questions.jsonl", "choices.jsonl"):
        first, second = ((tmp_path / folder / name).read_text().splitlines() for folder in "ab")
        if name == "train.jsonl":  # wrong options are drawn from all answers, in their order
            first, second = (
                [line for line in lines if "Answer with the letter" not in line] for lines in (first, second)
            )
        if name != "choices.jsonl":
            assert sorted(first) == sorted(second)


def test_rows_are_spread_over_methods(tmp_path: Path) -> None:
    synthesis = made(tmp_path, library(), max_rows=12)
    assert len(synthesis.train) == 12
    assert len({pair.source.method for pair in synthesis.train}) >= 5
    assert len({pair.source.document for pair in synthesis.train}) >= 3


def test_nothing_to_ask_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to ask was found in 1 documents"):
        made(tmp_path, [Document("x", "Hm.", "x.txt")])


def test_documents_come_from_folders_and_from_prepared_files(tmp_path: Path) -> None:
    from burnish.corpus.preparation.pipeline import prepare
    from burnish.corpus.preparation.settings import DEFAULT_STEPS
    from burnish.corpus.preparation.sources import DocumentSource

    folder = tmp_path / "docs"
    folder.mkdir()
    for document in library(3):
        (folder / document.source).write_text(document.text)
    (folder / "image.png").write_bytes(b"\x89PNG")
    skipped: list[Any] = []
    direct = [document.source for document in read([folder], skipped)]
    assert [one.name for one in skipped] == ["image.png"]
    prepare([DocumentSource(paths=[str(folder)])], list(DEFAULT_STEPS), tmp_path / "out", folder=tmp_path)
    prepared = [document.source for document in read([tmp_path / "out" / "documents"], [])]
    assert sorted(prepared) == sorted(direct) == ["page0.md", "page1.md", "page2.md"]
