"""Rows that a teacher writes: asked once, read, filtered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burnish.corpus.documents import Document
from burnish.errors import BurnishError
from burnish.generation import engine
from burnish.runs.run import Run
from burnish.synthesis import lessons, teachers
from burnish.synthesis.chunk import DocumentChunk
from burnish.synthesis.documents import chunks
from burnish.synthesis.filters import grounded
from burnish.synthesis.settings import Settings
from burnish.synthesis.synthesize import Synthesis, synthesize
from burnish.synthesis.teachers import LocalTeacher
from burnish.synthesis.variants import dialogues, mixed_language, reworded, short, synonyms, typos, vague
from chat_server import ChatServer, chat_server
from tiny_models import tiny_decoder
from workshop import tiny_tokenizer

TEXT = "# Shop\n\n" + "The shop opens at 930 hours and sells apples, pears and books to everybody who walks in. " * 4


def shop(number: int = 0) -> Document:
    return Document(str(number), TEXT.replace("Shop", f"Shop {number}"), f"shop{number}.md")


@pytest.fixture
def chunk() -> DocumentChunk:
    return next(chunks(shop(), 3000))


@pytest.fixture
def server() -> Iterator[ChatServer]:
    def answer(body: dict[str, Any]) -> str:
        if "rate an answer" in body["messages"][0]["content"]:
            return "[[9]]" if "pears" in body["messages"][1]["content"].partition("<answer>")[2] else "[[2]]"
        return (
            "Q: When does the shop open?\nA: The shop opens at 930 hours.\n\n"
            "Q: What does the shop sell?\nA: It sells apples, pears and books.\n\n"
            "Q: What does it sell?\nA: It sells apples, pears and books.\n\n"
            "Q: Who owns it?\nA: It was founded in 1821 by a company from Lyon.\n"
        )

    with chat_server(answer) as running:
        yield running


def settings(server: ChatServer, **more: Any) -> Settings:
    teacher = {"type": "chat", "address": server.address, "model": "big"}
    nothing = {"extract": {"rules": []}, "heldout": {"share": 0}}
    return Settings.model_validate(nothing | {"teacher": teacher} | more)


def go(folder: Path, settings: Settings, documents: int = 1) -> Synthesis:
    run = Run(folder / "out")
    assert settings.teacher is not None
    assert settings.teacher.type == "chat"
    return synthesize(map(shop, range(documents)), settings, run, teacher=settings.teacher.open(run, {}))


def test_a_teachers_rows_are_read_filtered_and_say_who_wrote_them(tmp_path: Path, server: ChatServer) -> None:
    made = go(tmp_path, settings(server))
    rows = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    asked = [row["messages"][0]["content"] for row in rows]
    assert asked[:2] == ["When does the shop open?", "What does the shop sell?"]
    assert {(row["provenance"]["teacher"], row["provenance"]["method"]) for row in rows} == {("big", "questions")}
    gone = {one.pair.question: (one.reason, one.detail) for one in made.removed}
    assert gone["Who owns it?"] == ("not grounded", "the number 1821 is not in the text")


def test_nothing_is_asked_twice(tmp_path: Path, server: ChatServer) -> None:
    go(tmp_path, settings(server), documents=3)
    assert len(server.requests) == 3
    go(tmp_path, settings(server), documents=4)
    assert len(server.requests) == 4


def test_requests_are_spread(tmp_path: Path, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("burnish.rewards.chat_endpoint.time.sleep", waits.append)
    teacher = {"type": "chat", "address": server.address, "model": "big", "requests_per_minute": 0.1}
    go(tmp_path, settings(server, teacher=teacher), documents=4)
    assert [round(wait / 600) for wait in sorted(waits)] == [0, 1, 2, 3]


def test_a_judge_takes_rows_out(tmp_path: Path, server: ChatServer) -> None:
    made = go(tmp_path, settings(server, filters={"judge": {}}))
    assert {pair.question for pair in made.train} <= {"What does the shop sell?", "What does it sell?"}
    assert ("rated low", "0.2 (rated)") in {(one.reason, one.detail) for one in made.removed}


def test_a_key_that_is_not_there_is_named(tmp_path: Path, server: ChatServer) -> None:
    teacher = {"type": "chat", "address": server.address, "model": "big", "api_key_env": "NO_SUCH_KEY"}
    with pytest.raises(BurnishError, match=r"teacher.api_key_env: .*NO_SUCH_KEY is not set"):
        go(tmp_path, settings(server, teacher=teacher))


def test_a_model_of_this_machine_answers_the_same_again(tmp_path: Path) -> None:
    loaded = []
    tokenizer = tiny_tokenizer()

    def load() -> Any:
        loaded.append(1)
        return tiny_decoder(vocab_size=tokenizer.vocab_size, max_positions=256), tokenizer

    asked = [[{"role": "user", "content": text}] for text in ("one", "two", "three" * 500)]
    first = LocalTeacher("tiny", load, "key", 1.0, 8).answers(asked, Run(tmp_path / "a" / "out"))
    assert first[2] is None
    assert LocalTeacher("tiny", load, "key", 1.0, 8).answers(asked[::-1], Run(tmp_path / "b" / "out")) == first[::-1]
    again = LocalTeacher("tiny", load, "key", 1.0, 8).answers(asked, Run(tmp_path / "a" / "out"))
    assert again == first
    assert len(loaded) == 2


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_killed_run_asks_a_model_of_this_machine_only_what_it_had_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    tokenizer = tiny_tokenizer()
    decoder = tiny_decoder(vocab_size=tokenizer.vocab_size, max_positions=256)
    asked = [[{"role": "user", "content": "word " * count}] for count in range(1, 8)]
    counted: list[Any] = []
    add, write = engine.Engine.add, teachers.write_json

    def adding(self: engine.Engine, request: Any) -> int:
        counted.append(request)
        return add(self, request)

    def killed(*args: Any, **kwargs: Any) -> None:
        if len(list((tmp_path / "one").rglob("*.json"))) == 3:
            raise KeyboardInterrupt
        write(*args, **kwargs)

    def answers(name: str) -> list[str | None]:
        teacher = LocalTeacher("tiny", lambda: (decoder, tokenizer), "key", temperature, 8)
        return teacher.answers(asked, Run(tmp_path / name / "out"))

    monkeypatch.setattr(engine.Engine, "add", adding)
    monkeypatch.setattr(teachers, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        answers("one")
    monkeypatch.setattr(teachers, "write_json", write)
    assert len(counted) == 7
    again = answers("one")
    assert len(counted) == 7 + 4
    assert again == answers("other")


@pytest.mark.parametrize(
    ("lesson", "reply", "question", "answer"),
    [
        ("questions", "**Q1:** When?\n**A1:** At 930.", "When?", "At 930."),
        (
            "reasoning",
            "Q: When?\nSTEPS: It opens\nat 930.\nA: 930",
            "When?",
            "<think>\nIt opens\nat 930.\n</think>\n\n930",
        ),
        ("dialogue", "USER: When?\nASSISTANT: At 930.\nUSER: And what?\nASSISTANT: Apples.", "When?", "Apples."),
        ("summary", "The shop sells apples to everybody.", "Summarize", "The shop sells apples to everybody."),
        ("classification", "Background.", "Which kind", "background"),
    ],
)
def test_replies_are_read(lesson: lessons.Lesson, reply: str, question: str, answer: str, chunk: DocumentChunk) -> None:
    (pair,) = lessons.read(lesson, reply, chunk, "big").pairs
    assert pair.question.startswith(question)
    assert pair.answer == answer
    assert pair.source.hash == chunk.hash


@pytest.mark.parametrize("reply", ["", "I cannot do that.", "Q: What?", "USER: Hi", None])
@pytest.mark.parametrize("lesson", lessons.LESSONS)
def test_other_replies_are_counted(lesson: lessons.Lesson, reply: str | None, chunk: DocumentChunk) -> None:
    written = lessons.read(lesson, reply, chunk, "big")
    assert not written.pairs
    assert written.fault


def test_what_the_text_does_not_say_is_not_grounded(chunk: DocumentChunk) -> None:
    (said,) = lessons.read("questions", "Q: When?\nA: It opens at 930 hours.", chunk, "big").pairs
    (other,) = lessons.read("questions", "Q: When?\nA: Rabbits enjoy eating carrots daily.", chunk, "big").pairs
    assert grounded(said, chunk, 0.6) is None
    assert grounded(other, chunk, 0.6) == "0 of 5 words are in the text"


def test_variants_keep_names() -> None:
    question = "What is the default of the parameter `follow_symlinks` of `shutil.copy()` (in Files of all kinds)?"
    for change in (typos, short, vague, mixed_language, synonyms):
        changed = change(question)
        assert changed is not None
        assert changed != question
        assert changed == change(question)
        assert "`follow_symlinks`" in changed
        assert "`shutil.copy()`" in changed
    assert reworded("What does `copy()` do?") != "What does `copy()` do?"
    assert "`copy()`" in str(reworded("What does `copy()` do?"))
    assert reworded("Fill in the name: ____.") is None
    assert short("What is it?") is None
    assert synonyms("Explain the term `default`.") in {
        f"{first} the expression `default`." for first in ("Clarify", "Spell out")
    }
    title = "Default version of a function: what does the column “version” have (last passage)?"
    assert synonyms(title) == title.replace("the column", "the field")
    assert synonyms("How many are there?") is None


def test_variants_and_dialogues_are_rows_of_their_own(tmp_path: Path) -> None:
    pages = [
        Document(
            str(n),
            f"# Page {n}\n\n" + "\n".join(f"- **Thing {n}{i}**: what page {n} says of {i}." for i in range(8)),
            f"{n}.md",
        )
        for n in range(4)
    ]
    wanted = {"variants": {"kinds": ["typos", "short", "vague", "dialogue"], "share": 1.0}, "heldout": {"share": 0}}
    made = synthesize(pages, Settings.model_validate(wanted), Run(tmp_path))
    methods = {pair.source.method for pair in made.train}
    assert {"definition+typos", "definition+vague", "dialogue"} <= methods
    dialogue = next(pair for pair in made.train if pair.source.method == "dialogue")
    assert [turn["role"] for turn in dialogue.messages] == ["user", "assistant"] * 3
    first, other, back = (dialogue.source, *dialogue.others)
    assert first.document == back.document != other.document
    assert dialogues([], 1.0) == []


def test_rows_unlike_their_text_go(chunk: DocumentChunk, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from burnish.corpus import embeddings
    from burnish.synthesis.filters import similar

    class Letters:
        """Vectors of which letters a text has."""

        def embed(self, texts: list[str], kind: str) -> Any:
            found = np.array([[text.lower().count(letter) for letter in "xyzshop"] for text in texts], dtype=np.float32)
            return found / np.linalg.norm(found, axis=1, keepdims=True)

    class Stub:
        def __init__(self, reference: str) -> None:
            self.embedder = Letters()

    monkeypatch.setattr(embeddings, "Encoder", Stub)
    like, unlike = (
        lessons.read("questions", f"Q: {q}\nA: {a}", chunk, "big").pairs[0]
        for q, a in (("Shop, who?", "The shop is open to us."), ("Xyz?", "Xyzzy xyz yyzzxx."))
    )
    kept, gone = similar([(like, chunk), (unlike, chunk)], "any", 0.6)
    assert kept == [(like, chunk)]
    assert [(one.pair, one.reason) for one in gone] == [(unlike, "unlike the text")]
