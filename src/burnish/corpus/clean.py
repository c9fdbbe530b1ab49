"""Cleaning: small steps over documents, each counted and timed, with every removed document kept.

A step takes documents and returns those that stay, possibly changed, and those it removes with the reason.
`rewrite` and `remove_if` make one from a function of one document. Steps see some documents at a time: none may depend
on which.
"""

import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from burnish.corpus.documents import Document

LINE_ENDS = re.compile("\r\n?|[\v\f\u0085\u2028\u2029]")
# Controls other than tab and newline, byte order marks, halves of surrogate pairs: none of them is text.
NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
OTHER_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
# Begins where the spaces do: tried again at each of them, a run of n spaces inside a line would take n * n / 2 steps.
SPACES_AT_END = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)
BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Removed:
    """A document that a step took out, as it was before that step, and why."""

    document: Document
    step: str
    reason: str


StepFunction = Callable[[Sequence[Document]], tuple[list[Document], list[Removed]]]


@dataclass(frozen=True, slots=True)
class Step:
    """A named cleaning step."""

    name: str
    apply: StepFunction


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """What a step did; `seconds` is wall time."""

    step: str
    documents_in: int
    documents_out: int
    characters_in: int
    characters_out: int
    seconds: float

    def plus(self, other: "StepStatistics") -> "StepStatistics":
        """What the step did to these documents and to others."""
        return StepStatistics(
            self.step,
            self.documents_in + other.documents_in,
            self.documents_out + other.documents_out,
            self.characters_in + other.characters_in,
            self.characters_out + other.characters_out,
            round(self.seconds + other.seconds, 4),
        )


def run_steps(
    documents: Iterable[Document], steps: Iterable[Step]
) -> tuple[list[Document], list[Removed], list[StepStatistics]]:
    """Apply the steps in turn; return the documents that stay, all that were removed, and the statistics."""
    kept = list(documents)
    removed: list[Removed] = []
    statistics = []
    for step in steps:
        before = kept
        start = time.perf_counter()
        kept, dropped = step.apply(before)
        seconds = time.perf_counter() - start
        removed += dropped
        statistics.append(
            StepStatistics(step.name, len(before), len(kept), _characters(before), _characters(kept), round(seconds, 4))
        )
    return kept, removed, statistics


def rewrite(name: str, function: Callable[[str], str]) -> Step:
    """Return the step that rewrites every text; ids stay."""

    def apply(documents: Sequence[Document]) -> tuple[list[Document], list[Removed]]:
        return [replace(document, text=function(document.text)) for document in documents], []

    return Step(name, apply)


def remove_if(name: str, reason: Callable[[str], str | None]) -> Step:
    """Return the step that removes the texts for which `reason` gives one."""

    def apply(documents: Sequence[Document]) -> tuple[list[Document], list[Removed]]:
        kept, removed = [], []
        for document in documents:
            if (why := reason(document.text)) is None:
                kept.append(document)
            else:
                removed.append(Removed(document, name, why))
        return kept, removed

    return Step(name, apply)


def split_long(max_characters: int) -> Step:
    """Return the step that cuts long documents into pieces, where possible between paragraphs or else lines.

    For files that hold many texts, such as a dump of articles: their pieces can then be held out one by one.
    The pieces of document `a` are called `a#1`, `a#2` and so on; joined they are the document.
    """

    def apply(documents: Sequence[Document]) -> tuple[list[Document], list[Removed]]:
        pieces = []
        for document in documents:
            texts = cut_text(document.text, max_characters)
            if len(texts) == 1:
                pieces.append(document)
            else:
                pieces += [replace(document, id=f"{document.id}#{i}", text=t) for i, t in enumerate(texts, start=1)]
        return pieces, []

    return Step("split long", apply)


def cut_text(text: str, max_characters: int) -> list[str]:
    """Cut a text into pieces of at most `max_characters`, each at the last good place that leaves it half full.

    Good places are between paragraphs, else lines, sentences or words. Joined, the pieces are the text.
    """
    pieces = []
    start = 0
    while len(text) - start > max_characters:
        end = start + max_characters
        for separator in ("\n\n", "\n", ". ", "。", " "):
            found = text.rfind(separator, start + max_characters // 2, end)
            if found >= 0:
                end = found + len(separator)
                break
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]


def normalize_unicode(text: str) -> str:
    """Return the text in NFC, with newlines for line ends and without what is not text."""
    return unicodedata.normalize("NFC", NOT_TEXT.sub("", LINE_ENDS.sub("\n", text)))


def normalize_whitespace(text: str) -> str:
    """Return the text with plain spaces, none at line ends, and at most one blank line in a row.

    Spaces inside a line stay: they carry meaning in code and tables.
    """
    text = SPACES_AT_END.sub("", OTHER_SPACES.sub(" ", text))
    return BLANK_LINES.sub("\n\n", text).strip("\n")


def too_short(min_characters: int) -> Callable[[str], str | None]:
    """Return the reason function that finds texts under `min_characters`."""

    def reason(text: str) -> str | None:
        return f"{len(text)} characters, fewer than {min_characters}" if len(text) < min_characters else None

    return reason


def _characters(documents: Sequence[Document]) -> int:
    return sum(len(document.text) for document in documents)
