"""Texts cut into prose, tables and code, for steps that change or judge prose alone."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from burnish.corpus.folders import CODE_SUFFIXES, MARKUP_SUFFIXES, suffix_of

Kind = Literal["prose", "table", "code"]

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r"[\s>]*(`{3,}|~{3,})")
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)[ \t]*\S")
_TABLE = re.compile(r"[\s>]*\|")
_INLINE = re.compile(r"((?<!`)(`+)(?!`)[^\n]*?(?<!`)\2(?!`))")


def is_source_code(origin: str) -> bool:
    """Whether a document's origin is a file of source code."""
    suffix = suffix_of(Path(origin))
    return suffix in CODE_SUFFIXES and suffix not in MARKUP_SUFFIXES


def parts(text: str) -> Iterator[tuple[Kind, str]]:
    """The parts of a Markdown text in order; joined, they are the text.

    Code is what stands in fences (to the end where one is not closed), lines indented by four spaces behind a blank
    line, and what stands between backticks. A table's lines begin with a bar.
    """
    kind: Kind = "prose"
    run: list[str] = []
    for new, line in _lines(text):
        if new != kind and run:
            yield from _within(kind, "".join(run))
            run = []
        kind = new
        run.append(line)
    yield from _within(kind, "".join(run))


def _lines(text: str) -> Iterator[tuple[Kind, str]]:
    fence = ""
    blank, before = True, "prose"
    for line in _LINE.findall(text):
        kind: Kind = "prose"
        found = _FENCE.match(line)
        if fence:
            kind = "code"
            if found and found[1].startswith(fence) and not line[found.end() :].strip(" \t\r\n`~"):
                fence = ""
        elif found:
            kind, fence = "code", found[1]
        elif _INDENTED.match(line) and (blank or before == "code"):
            kind = "code"
        elif _TABLE.match(line):
            kind = "table"
        yield kind, line
        blank, before = not line.strip(), kind


def _within(kind: Kind, text: str) -> Iterator[tuple[Kind, str]]:
    """A part, cut further where it has code between backticks."""
    if kind == "code" or "`" not in text:
        if text:
            yield kind, text
        return
    place = 0
    for found in _INLINE.finditer(text):
        if found.start() > place:
            yield kind, text[place : found.start()]
        yield "code", found[0]
        place = found.end()
    if place < len(text):
        yield kind, text[place:]
