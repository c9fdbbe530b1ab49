"""Facts in other words, and questions to practise with."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.corpus.documents import Document
from burnish.runs.run import Run
from burnish.synthesis.chunk import RULES
from burnish.synthesis.documents import chunks
from burnish.synthesis.extract import pairs
from burnish.synthesis.restate import restatements
from burnish.synthesis.rows import Pair
from burnish.synthesis.settings import Settings
from burnish.synthesis.synthesize import Synthesis, synthesize


def page(number: int) -> Document:
    parts = "\n\n".join(
        f"-\nbox{number}.part{n}(*size*, *mode='m{n}'*)¶\n- Opens the lid number {n} of the large box {number}. "
        f"New in version {number}.{n}."
        for n in range(1, 4)
    )
    table = "\n".join(f"| side {n} | {number * 10 + n} cm |" for n in range(1, 4))
    return Document(
        f"{number}",
        f"# Box {number}\n\n## Parts\n\n{parts}\n\n## Sides\n\n| Side | Length |\n|---|---|\n{table}\n\n"
        f"The lid of the box weighs {number + 40} grams when it is empty and quite dry.\n",
        f"box{number}.md",
    )


@pytest.fixture(scope="module")
def found() -> list[Pair]:
    return [
        pair for n in range(1, 13) for chunk in chunks(page(n), 3000) for pair in pairs(chunk, RULES, 400)
    ]  # fmt: skip


def test_a_fact_is_said_in_several_wordings_and_never_asked(found: list[Pair]) -> None:
    said = [pair for pair in found if pair.restated]
    assert {pair.source.method for pair in said} >= {"term", "default", "version", "table", "gap"}
    for pair in said:
        assert len(set(pair.restated)) == len(pair.restated) >= 2
        for statement in pair.restated:
            assert pair.answer.strip("`") in statement, "the fact is there whole"
            assert "____" not in statement
            assert "?" not in statement
            assert pair.question not in statement


def test_every_document_is_restated_so_often_in_another_order_each_time(found: list[Pair]) -> None:
    twice = restatements(found, 2)
    assert [row["id"] for row in twice[:2]] == ["box1.md, restated 1", "box10.md, restated 1"]
    assert len(twice) == 24
    first, second = (
        [row["text"].split("\n\n") for row in twice if row["id"] == f"box1.md, restated {n}"] for n in (1, 2)
    )
    assert len(first[0]) == len(second[0]) > 5
    assert not set(first[0]) & set(second[0])
    statements = {statement for pair in found for statement in pair.restated}
    assert {statement for row in twice for statement in row["text"].split("\n\n")} <= statements
    assert restatements(found, 0) == []
    assert restatements(found, 2) == restatements(list(found), 2)


def made(folder: Path, **settings: Any) -> Synthesis:
    documents = [page(n) for n in range(1, 13)]
    return synthesize(documents, Settings.model_validate(settings), Run(folder))


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_held_out_documents_are_restated_and_no_question_about_them_is_taught(tmp_path: Path) -> None:
    synthesis = made(tmp_path, extract={"restate": 3}, heldout={"share": 0.25}, max_rows=30, practice=20)
    asked = {row["provenance"]["document"] for row in rows(tmp_path / "questions.jsonl")}
    restated = rows(tmp_path / "restated.jsonl")
    assert asked <= {row["id"].partition(",")[0] for row in restated}
    practice, taught = rows(tmp_path / "practice.jsonl"), rows(tmp_path / "train.jsonl")
    assert len(practice) == 20
    assert not asked & {row["provenance"]["document"] for row in practice}
    assert not {row["prompt"] for row in practice} & {row["messages"][0]["content"] for row in taught}, (
        "what max_rows leaves out comes first"
    )
    assert all(row["answer"] and "choices" not in row for row in practice)
    record = synthesis.record()
    assert record["restated"] == {"documents": 36, "characters": sum(len(row["text"]) for row in restated)}
    assert record["practice"]["rows"] == 20
    for row in rows(tmp_path / "choices.jsonl"):
        assert row["prompt"].startswith(row["question"])
        assert not any(f"{choice}\n" in row["question"] for choice in row["choices"])


def test_where_all_rows_are_taught_they_are_practised_too(tmp_path: Path) -> None:
    synthesis = made(tmp_path, practice=10)
    assert len(synthesis.practice) == 10
    assert not (tmp_path / "restated.jsonl").exists()
