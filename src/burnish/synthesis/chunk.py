"""A part of a document, which rows are made of, and what the rules that read it are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from burnish.synthesis.rows import Pair, RowSource, TaskType, place
from burnish.synthesis.structure import Section

Rule = Literal[
    "definition",
    "term",
    "signature",
    "default",
    "version",
    "faq",
    "topic",
    "statement",
    "table",
    "session",
    "example",
    "gap",
    "title",
    "origin",
]
RULES: tuple[Rule, ...] = get_args(Rule)

MAX_SHORT = 60
"""Characters of an answer that is judged word for word."""


@dataclass(frozen=True, slots=True)
class DocumentChunk:
    """A part of a document, cut along its structure: blocks of one section.

    title: what the document is called. of: the number of the part in the document. first: whether the section begins
    with it. hash: of its text.
    """

    document: str
    title: str
    of: int
    hash: str
    section: Section
    first: bool = True
    licence: str | None = None

    @property
    def text(self) -> str:
        """What a reader is given: the headings and the text."""
        headings = [heading for heading in self.section.headings if heading != self.title]
        return "\n\n".join([" / ".join([self.title, *headings]), self.section.text])

    @property
    def heading(self) -> str:
        """The section's own heading, or the document's title."""
        return self.section.headings[-1] if self.section.headings else self.title

    @property
    def where(self) -> str:
        """Document and section, as a question names them."""
        return self.title if self.heading in (self.title, "") else f"{self.title}, {self.heading}"

    def pair(
        self,
        rule: Rule,
        wordings: Sequence[str],
        answer: str,
        task_type: TaskType,
        *,
        short: bool = False,
        alike: str = "",
        near: str = "",
        restated: Sequence[str] = (),
        **values: str,
    ) -> Pair:
        """A pair whose question is one of several wordings, filled with values.

        restated: wordings of the fact that it asks for, which may have `answer` too; never those of a question.
        """
        wording = wordings[place(self.document, self.hash, rule, *values.values()) % len(wordings)]
        question = wording.format(title=self.title, where=self.where, **values)
        source = RowSource(self.document, self.of, self.hash, rule, None, self.licence)
        said = tuple(one.format(title=self.title, where=self.where, answer=answer, **values) for one in restated)
        return Pair(question, answer, task_type, source, short and len(answer) <= MAX_SHORT, alike, near, restated=said)
