"""What a teacher is asked to write of a chunk, and how its reply becomes rows.

Every lesson asks for plain lines that begin with a word and a colon, which small models manage where JSON is beyond
them; what does not have that form is counted and not used.

| lesson | writes | from |
| --- | --- | --- |
| `questions` | questions with answers | arXiv:2212.10560 for the form, every answer to stand in the chunk |
| `rewrite` | the chunk in plainer words, under the question that it answers | arXiv:2401.16380 |
| `reasoning` | a question, the steps to its answer, the answer | arXiv:2201.11903 |
| `dialogue` | a conversation of several turns that changes its topic once | |
| `instructions` | tasks that the chunk helps with, and what does them (self-instruct) | arXiv:2212.10560 |
| `summary` | the chunk in one or two sentences | |
| `classification` | what kind of text the chunk is, of a list of kinds | |
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from burnish.synthesis.chunk import DocumentChunk
from burnish.synthesis.rows import Pair, RowSource, TaskType

Lesson = Literal["questions", "rewrite", "reasoning", "dialogue", "instructions", "summary", "classification"]
LESSONS: tuple[Lesson, ...] = get_args(Lesson)
KINDS = ("definition", "instruction", "reference", "example", "background", "list", "question and answer")

_SYSTEM = "You write training material from a text. Use only what the text says. Write in the language of the text."
_ASKED: dict[Lesson, str] = {
    "questions": "Write {n} questions that this text answers, each with its answer. A question must make sense to "
    "somebody who does not see the text. Write each as two lines:\nQ: the question\nA: the answer",
    "rewrite": "Write one question that this whole text answers, and say what the text says in other, plainer "
    "words, without losing a fact. Write:\nQ: the question\nA: the text in your words",
    "reasoning": "Write one question about this text that needs two or three steps of thinking, the steps, and the "
    "short answer. Write:\nQ: the question\nSTEPS: the steps\nA: the short answer",
    "dialogue": "Write a conversation about this text: a user asks three questions, the second and third of which "
    "refer to what was said before, and the last changes the topic. Write lines:\nUSER: ...\nASSISTANT: ...",
    "instructions": "Write {n} tasks, other than questions, that somebody who knows this text can do, such as "
    "comparing, listing, explaining to a beginner or correcting an error, and do each. Write each as two "
    "lines:\nQ: the task\nA: the result",
    "summary": "Say in one or two sentences what this text says. Write only the sentences.",
    "classification": "Which one of these kinds of text is it: {kinds}? Write only the kind.",
}
_TYPES: dict[Lesson, TaskType] = {
    "questions": "question_answering",
    "rewrite": "rewriting",
    "reasoning": "reasoning",
    "dialogue": "dialogue",
    "instructions": "instruction",
    "summary": "summarization",
    "classification": "classification",
}
_TURN = re.compile(
    r"^\W*(?P<who>USER|ASSISTANT|Q(?:uestion)?|A(?:nswer)?|STEPS?)\s*\d*\W*:\W*", re.MULTILINE | re.IGNORECASE
)
_REFUSAL = re.compile(
    r"\b(?:as an ai|i (?:cannot|can't|am unable)|(?:this|the|given|provided) (?:text|passage|context|document)\b)",
    re.IGNORECASE,
)
_MIN_ANSWER = 2


@dataclass(frozen=True, slots=True)
class ReplyReading:
    """What became of a reply: pairs, or why there are none."""

    pairs: tuple[Pair, ...] = ()
    fault: str = ""


def prompt(lesson: Lesson, chunk: DocumentChunk, n: int) -> list[dict[str, str]]:
    """The messages that ask for a lesson about a chunk."""
    task = _ASKED[lesson].format(n=n, kinds=", ".join(KINDS))
    return [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": f"<text>\n{chunk.text}\n</text>\n\n{task}"},
    ]


def read(lesson: Lesson, reply: str | None, chunk: DocumentChunk, teacher: str) -> ReplyReading:
    """The rows of a reply."""
    if reply is None:
        return ReplyReading(fault="prompt longer than the teacher's context")
    source = RowSource(chunk.document, chunk.of, chunk.hash, lesson, teacher, chunk.licence)
    pairs = _READERS[lesson](reply.strip(), chunk, source)
    kept = tuple(pair for pair in pairs if _sound(pair))
    if not pairs:
        return ReplyReading(fault="reply without the form that was asked for")
    return ReplyReading(kept, "" if kept else "question about a text that nobody sees, or no answer")


def _sound(pair: Pair) -> bool:
    """Whether the row stands alone: its question names no text in front of the reader, its answer says something."""
    shown = pair.task_type in ("summarization", "classification")
    return len(pair.answer) >= _MIN_ANSWER and not _REFUSAL.search(
        pair.answer if shown else pair.question + pair.answer
    )


def _turns(reply: str) -> list[tuple[str, str]]:
    """The turns of a reply: who speaks, in capitals and by the first letter, and what is said."""
    marks = list(_TURN.finditer(reply))
    ends = [*(mark.start() for mark in marks[1:]), len(reply)][: len(marks)]
    said = [(mark["who"][0].upper(), reply[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]
    return [(who, text.rstrip("* \n")) for who, text in said if text]


def _pairs(lesson: Lesson) -> Callable[[str, DocumentChunk, RowSource], list[Pair]]:
    def read_pairs(reply: str, chunk: DocumentChunk, source: RowSource) -> list[Pair]:
        turns = _turns(reply)
        return [
            Pair(question, answer, _TYPES[lesson], source)
            for (who, question), (other, answer) in pairwise(turns)
            if who == "Q" and other == "A"
        ]

    return read_pairs


def _reasoning(reply: str, chunk: DocumentChunk, source: RowSource) -> list[Pair]:
    turns = dict(_turns(reply))
    if not {"Q", "S", "A"} <= set(turns):
        return []
    answer = f"<think>\n{turns['S']}\n</think>\n\n{turns['A']}"
    return [Pair(turns["Q"], answer, "reasoning", source)]


def _dialogue(reply: str, chunk: DocumentChunk, source: RowSource) -> list[Pair]:
    turns = [("user" if who in "UQ" else "assistant", text) for who, text in _turns(reply) if who in "UQA"]
    while turns and turns[-1][0] == "user":
        turns.pop()
    roles = [role for role, _ in turns]
    if len(turns) < 4 or roles != ["user", "assistant"] * (len(turns) // 2):
        return []
    messages: list[Mapping[str, str]] = [{"role": role, "content": text} for role, text in turns]
    return [Pair(turns[0][1], turns[-1][1], "dialogue", source, messages=tuple(messages))]


def _summary(reply: str, chunk: DocumentChunk, source: RowSource) -> list[Pair]:
    question = f"Summarize this text in one or two sentences.\n\n{chunk.section.text}"
    return [Pair(question, reply, "summarization", source)] if 3 < len(reply.split()) < 80 else []


def _classification(reply: str, chunk: DocumentChunk, source: RowSource) -> list[Pair]:
    said = reply.strip(" .*\n\"'").casefold()
    if said not in KINDS:
        return []
    question = f"Which kind of text is this: {', '.join(KINDS)}?\n\n{chunk.section.text}"
    return [Pair(question, said, "classification", source)]


_READERS: Mapping[Lesson, Callable[[str, DocumentChunk, RowSource], Sequence[Pair]]] = {
    "questions": _pairs("questions"),
    "rewrite": _pairs("rewrite"),
    "reasoning": _reasoning,
    "dialogue": _dialogue,
    "instructions": _pairs("instructions"),
    "summary": _summary,
    "classification": _classification,
}
