"""Decontamination, against one document and one evaluation text at a time in plain Python."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from burnish.corpus.preparation.engines import Processes
from burnish.corpus.preparation.pipeline import prepare
from burnish.corpus.preparation.sources import DocumentSource
from burnish.corpus.preparation.steps.decontaminate import Decontaminate, without
from burnish.corpus.preparation.table import SCHEMA, Outcome
from burnish.errors import BurnishError, DataError

QUESTION = "A farmer has nineteen sheep and all but seven of them run away: how many are left?"


def applied(step: Decontaminate, texts: Sequence[str]) -> Outcome:
    rows = [{name: str(number) for name in SCHEMA} | {"text": text} for number, text in enumerate(texts)]
    return step(pl.DataFrame(rows, schema=SCHEMA).with_row_index("_place"))


def removed(step: Decontaminate, texts: Sequence[str]) -> list[int]:
    outcome = applied(step, texts)
    assert outcome.removed is not None
    gone = [int(number) for number in outcome.removed["id"]]
    assert sorted(gone + [int(number) for number in outcome.kept["id"]]) == list(range(len(texts)))
    assert outcome.removed["text"].to_list() == [texts[number] for number in gone]
    return gone


def write(file: Path, rows: Sequence[dict[str, Any]]) -> str:
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows: list[dict[str, Any]] = [
        {"question": "What do they say about it?", "answer": "Paris"},
        {"question": QUESTION, "answer": "7"},
        {"messages": [{"role": "user", "content": "国家的首都是哪一座城市"}]},
        {"question": "the capital of this land is which of many towns", "note": QUESTION.replace("sheep", "cows")},
        {"question": "Un café très cher est à côté de l’église"},
    ]
    return write(tmp_path_factory.mktemp("evaluation") / "questions.jsonl", rows)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"It begins. {QUESTION} And it ends.", 2),
        (QUESTION.upper().replace(" ", "\n -- ").replace("?", ""), 2),
        (" ".join(QUESTION.split()[2:15]), 2),
        (" ".join(QUESTION.split()[2:14]), None),
        (QUESTION.replace("seven", "eight"), None),
        ("我们问：国家的首都是哪一座城市？", 3),
        ("国家的首都很大。", None),
        ("I ask: the capital, of this land, is which of many towns?", 4),
        ("I ask: the capital of this land is which of many", None),
        (QUESTION.replace("sheep", "cows"), 4),
        (unicodedata.normalize("NFD", "Ici: un café très CHER est à CÔTÉ de l'église."), 5),
        ("What do they say about it? Paris.", None),
        ("", None),
    ],
)
def test_runs_of_words_are_found_whatever_their_case_and_punctuation(
    text: str, line: int | None, questions: str
) -> None:
    step = Decontaminate(files=[questions])
    outcome = applied(step, ["A text of its own.", text])
    assert outcome.removed is not None
    details = outcome.removed["detail"].to_list()
    assert [detail.partition(": ")[0] for detail in details] == ([] if line is None else [f"{questions}:{line}"])
    assert set(outcome.removed["reason"]) <= {"in an evaluation file"}


def test_only_the_named_keys_are_compared(questions: str) -> None:
    cows = QUESTION.replace("sheep", "cows")
    assert removed(Decontaminate(files=[questions], keys=["question", "messages"]), [QUESTION, cows]) == [0]
    assert removed(Decontaminate(files=[questions], keys=["note"]), [QUESTION, cows]) == [1]


VOCABULARY = ["a", "b", "c"]
TEXTS = st.lists(st.lists(st.sampled_from(VOCABULARY), max_size=14), min_size=1, max_size=5)


def naive(
    document: list[str], evaluation: Sequence[list[str]], n: int, min_words: int, min_overlap: float
) -> set[tuple[int, int]]:
    """First word, and the one behind the last, of every run of a document that counts."""
    result = set()
    for text in evaluation:
        if len(text) < min_words:
            continue
        length = min(n, len(text))
        wanted = {tuple(text[place : place + length]) for place in range(len(text) - length + 1)}
        found = [
            place for place in range(len(document) - length + 1) if tuple(document[place : place + length]) in wanted
        ]
        share = len({tuple(document[place : place + length]) for place in found}) / len(wanted)
        if found and share >= min_overlap:
            result |= {(place, place + length) for place in found}
    return result


@settings(max_examples=20, deadline=None)
@given(TEXTS, TEXTS, st.integers(3, 5), st.integers(1, 3), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_removing_and_cutting_equal_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[list[str]],
    evaluation: list[list[str]],
    n: int,
    min_words: int,
    min_overlap: float,
) -> None:
    evaluation = [*evaluation, ["b", "c", "a", "b", "b"]]
    file = tmp_path_factory.getbasetemp() / "evaluation.jsonl"
    write(file, [{"text": " ".join(text)} for text in evaluation])
    spans = [naive(document, evaluation, n, min_words, min_overlap) for document in documents]
    texts = [" ".join(document) for document in documents]
    keys = {"files": [str(file)], "ngram": n, "min_words": min_words, "min_overlap": min_overlap}
    assert removed(Decontaminate.model_validate(keys), texts) == [number for number, found in enumerate(spans) if found]

    step = Decontaminate.model_validate({**keys, "action": "cut", "margin": 0, "min_characters": 1, "max_pieces": 50})
    expected = []
    for number, (document, found) in enumerate(zip(documents, spans, strict=True)):
        under = {place for first, behind in found for place in range(first, behind)}
        marked = " ".join("|" if place in under else word for place, word in enumerate(document))
        pieces = [piece.strip() for piece in marked.split("|") if piece.strip()]
        if not found:
            pieces = [marked]
        names = [f"{number}#{part}" for part in range(1, len(pieces) + 1)] if len(pieces) > 1 else [str(number)]
        expected += list(zip(names, pieces, strict=False))
    kept = applied(step, texts).kept
    assert list(zip(kept["id"], kept["text"], strict=True)) == expected


@pytest.mark.parametrize(
    ("margin", "pieces"),
    [
        (0, ["One two (three),", "seven eight. Nine."]),
        (2, ["One two (three),", "seven eight. Nine."]),
        (3, ["One two (three),", "eight. Nine."]),
        (4, ["One two (", "eight. Nine."]),
        (100, []),
    ],
)
def test_a_margin_takes_whole_words(margin: int, pieces: list[str]) -> None:
    text = "One two (three), four, five six! seven eight. Nine."
    words = ["One", "two", "three", "four", "five", "six", "seven", "eight", "Nine"]
    assert without(text, words, [(3, 5), (4, 6)], margin) == pieces


def test_what_is_left_of_a_document_is_long_and_in_few_pieces(questions: str) -> None:
    own = "These words are of the document itself. " * 3
    step = Decontaminate(files=[questions], action="cut", margin=5, min_characters=50, max_pieces=2)
    outcome = applied(step, [own, own + QUESTION, f"{own}{QUESTION}{own}", QUESTION, (own + QUESTION) * 3])
    assert outcome.removed is not None
    assert outcome.kept["id"].to_list() == ["0", "1", "2#1", "2#2"]
    assert outcome.kept["text"][0] == own
    assert all("farmer" not in text and text.startswith("These") for text in outcome.kept["text"][:3])
    assert dict(outcome.removed.select("id", "reason").iter_rows()) == {
        "3": "in an evaluation file",
        "4": "in evaluation files at many places",
    }


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_files_are_found_beside_the_settings_and_change_what_is_reused(
    processes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    for number in range(3):
        (tmp_path / "docs" / f"{number}.txt").write_text(f"{QUESTION} And the number {number}.", encoding="utf-8")
    (tmp_path / "docs" / "own.txt").write_text("Nothing of all this.", encoding="utf-8")
    write(tmp_path / "questions.jsonl", [{"question": QUESTION}])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sources = [DocumentSource(paths=["docs"])]
    steps = [Decontaminate(files=["questions.jsonl"])]

    def run() -> tuple[int, int]:
        record = prepare(
            sources, steps, tmp_path / "out", folder=Path(".."), engine=Processes(1) if processes else None
        )
        return record.documents, record.n_reused

    assert run() == (1, 0)
    gone = pl.read_parquet(tmp_path / "out" / "removed" / "*.parquet")
    assert [detail.partition(": ")[0] for detail in gone["detail"]] == ["questions.jsonl:1"] * 3
    if not processes:
        assert run() == (1, 1)
        write(tmp_path / "questions.jsonl", [{"question": QUESTION.replace("sheep", "cows")}])
        assert run() == (4, 0)


def test_settings_that_would_compare_nothing_are_errors(tmp_path: Path, questions: str) -> None:
    with pytest.raises(ValidationError, match="at most ngram"):
        Decontaminate(files=["x"], ngram=5)
    with pytest.raises(DataError, match="no row has a text of 8 words or more under answer"):
        applied(Decontaminate(files=[questions], keys=["answer"]), ["text"])
    (tmp_path / "a.txt").write_text("A text of some words.", encoding="utf-8")
    with pytest.raises(BurnishError, match=r"missing\.jsonl"):
        prepare(
            [DocumentSource(paths=["a.txt"])],
            [Decontaminate(files=["missing.jsonl"])],
            tmp_path / "out",
            folder=tmp_path,
        )
