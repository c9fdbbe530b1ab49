"""The rows that synthesis writes: conversations, tasks to be judged and preferences, each with where it comes from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TaskType = Literal[
    "question_answering",
    "short_answer",
    "multiple_choice",
    "code",
    "summarization",
    "classification",
    "rewriting",
    "reasoning",
    "dialogue",
    "instruction",
]
"""What a row asks for; every row is labelled by it."""


@dataclass(frozen=True, slots=True)
class RowSource:
    """Where a row comes from: document, chunk of it, a hash of the chunk's text, and how the row was made of it.

    teacher: the model that wrote it; None where it stands in the document itself.
    """

    document: str
    chunk: int
    hash: str
    method: str
    teacher: str | None = None
    licence: str | None = None

    def value(self) -> dict[str, Any]:
        """As a row has it."""
        return {
            "document": self.document,
            "chunk": self.chunk,
            "hash": self.hash,
            "method": self.method,
            "teacher": self.teacher,
            **({} if self.licence is None else {"licence": self.licence}),
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer.

    short: whether the answer is exact and short, so that it can be judged word for word. alike: answers of one kind,
    which may stand in for each other as wrong options. near: a narrower kind, whose members are the better ones.
    choices: the options of a question that has some. messages: what is taught, where it is more than these two.
    others: further places that the row is made of. bare: the question of multiple choice without its options.
    restated: the fact that the row asks for, as statements in several wordings.
    """

    question: str
    answer: str
    task_type: TaskType
    source: RowSource
    short: bool = False
    alike: str = ""
    near: str = ""
    choices: tuple[str, ...] = ()
    messages: tuple[Mapping[str, str], ...] = field(default=())
    others: tuple[RowSource, ...] = ()
    bare: str = ""
    restated: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether its answer can be judged word for word without showing options."""
        return self.short and self.task_type != "classification"

    def conversation(self) -> dict[str, Any]:
        """As a row to learn from."""
        turns = [dict(one) for one in self.messages] or [
            {"role": "user", "content": self.question},
            {"role": "assistant", "content": self.answer},
        ]
        return {"messages": turns, "task_type": self.task_type, "provenance": self.provenance()}

    def task(self) -> dict[str, Any]:
        """As a task whose answer can be judged."""
        options = {"question": self.bare, "choices": list(self.choices)} if self.choices else {}
        return {
            "prompt": self.question,
            "answer": self.answer,
            **options,
            "task_type": self.task_type,
            "provenance": self.provenance(),
        }

    def provenance(self) -> dict[str, Any]:
        """Where the row comes from, as it says itself."""
        others = {"others": [one.value() for one in self.others]} if self.others else {}
        return self.source.value() | others


def place(*parts: object) -> int:
    """A number of 64 bits, uniform over what `parts` may be: what is drawn by it is drawn the same again."""
    text = json.dumps([str(part) for part in parts])
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())


def lines(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
