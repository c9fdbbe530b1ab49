"""The structure of a document, read from its text: sections, definitions, tables, code.

Notable choices:
- the text is what the readers of documents give, and what preparation has left of it: Markdown with the headings,
  tables and lists of whatever file it was; a parser of HTML would not see what cleaning and anonymization took out;
- lines are read, not a grammar: text of pages is seldom valid Markdown, and a line that fits nothing is a paragraph's;
- a definition is what authors write as one: a list of terms, a bold line above its text, `**term**: text`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["paragraph", "code", "table", "item", "definition"]

_HEADING = re.compile(r"(#{1,6})\s+(\S.*?)\s*#*$")
_UNDERLINE = re.compile(r"([=\-~^\"'*+#])\1{2,}\s*$")
_FENCE = re.compile(r"\s*(```+|~~~+)\s*([\w+#.-]*)\s*$")
_ITEM = re.compile(r"(\s*)(?:[-*+]|\d{1,3}[.)])(?:\s+(.*))?$")
_RULE = re.compile(r"\s*([-*_])(\s*\1){2,}\s*$")
_SEPARATOR = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*$|\s*\|(---\|)+\s*$")
_BOLD_LINE = re.compile(r"\*\*(.{1,120}?)\*\*\s*:?$")
_LEAD = re.compile(
    r"(?:\*\*(?P<bold>[^*]{1,120}?):?\*\*|(?P<code>`[^`]{1,120}`)|(?P<plain>\w[^:.!?`*]{0,60}?))"
    r"(?P<mark>\s*:|\s+[–—-])\s+(?P<text>\S.*)",
    re.DOTALL,
)
_ALIAS = re.compile(r"[\w\s*.\\]*\w\([^()]*\)$")
_MARK = "¶"
_ANCHOR = re.compile(rf"\s*{_MARK}")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,2}|__)(?=\S)(.+?)(?<=\S)\1(?![\w*])")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!<>|~-])")
_TAG = re.compile(r"</?(?:sup|sub|b|i|em|strong|br|u|p|span|a|code|kbd)\b[^<>]*>")
_MAX_TERM = 120
_MAX_PLAIN_WORDS = 5
_MIN_TEXT_WORDS = 3


@dataclass(frozen=True, slots=True)
class SectionBlock:
    """A piece of a section. term: of a definition. rows: of a table, the header first. language: of code."""

    kind: Kind
    text: str
    term: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below a heading. headings: from the outermost to its own; empty before the first."""

    headings: tuple[str, ...] = ()
    blocks: tuple[SectionBlock, ...] = ()

    @property
    def text(self) -> str:
        """All of it as text."""
        return "\n\n".join(block_text(block) for block in self.blocks)


def block_text(block: SectionBlock) -> str:
    """A block as text for a reader."""
    if block.kind == "definition":
        return f"{block.term}\n{block.text}"
    if block.kind == "code":
        return f"```{block.language}\n{block.text}\n```"
    return f"- {block.text}" if block.kind == "item" else block.text


def plain(text: str) -> str:
    """Text without the marks of emphasis, links and anchors; code keeps its backticks, and what it holds."""
    parts = re.split(r"(`[^`]+`)", _ANCHOR.sub("", text))
    for place in range(0, len(parts), 2):
        part = _LINK.sub(r"\1", _TAG.sub("", parts[place]))
        parts[place] = _ESCAPE.sub(r"\1", _EMPHASIS.sub(r"\2", part))
    return " ".join("".join(parts).split())


def sections(text: str) -> list[Section]:
    """The sections of a text in their order; those without any text are left out."""
    found: list[Section] = []
    headings: list[tuple[int, str]] = []
    blocks: list[SectionBlock] = []

    def close() -> None:
        merged = tuple(_defined(blocks))
        if merged:
            found.append(Section(tuple(heading for _, heading in headings), merged))
        blocks.clear()

    for one in _LineReader(text.split("\n")).read():
        if isinstance(one, SectionBlock):
            blocks.append(one)
            continue
        close()
        headings = [*(known for known in headings if known[0] < one[0]), one]
    close()
    return found


@dataclass
class _LineReader:
    """Reads lines into headings, as (level, text), and blocks."""

    lines: list[str]
    at: int = 0
    paragraph: list[str] = field(default_factory=list)

    def read(self) -> Iterator[SectionBlock | tuple[int, str]]:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.strip():
                yield from self._ended()
                self.at += 1
            elif (fence := _FENCE.match(line)) is not None:
                yield from self._ended()
                yield self._code(fence)
            elif (heading := _HEADING.match(line)) is not None:
                yield from self._ended()
                self.at += 1
                yield len(heading[1]), plain(heading[2])
            elif len(self.paragraph) == 1 and _is_underline(self.paragraph[0], line):
                title = self.paragraph.pop()
                self.at += 1
                yield 1 if line[0] == "=" else 2, plain(title)
            elif self._is_table():
                yield from self._ended()
                yield self._table()
            elif line.startswith(("    ", "\t")) and not self.paragraph:
                yield self._indented()
            elif _RULE.match(line):
                yield from self._ended()
                self.at += 1
            elif (item := _ITEM.match(line)) is not None:
                yield from self._ended()
                yield from self._item(item)
            elif self.paragraph and (line.startswith(": ") or line.startswith(":   ")):
                yield self._described()
            else:
                self.paragraph.append(line)
                self.at += 1
        yield from self._ended()

    def _ended(self) -> Iterator[SectionBlock]:
        """The paragraph that ends here, if there is one."""
        if self.paragraph:
            text = "\n".join(self.paragraph)
            self.paragraph.clear()
            yield _led(text, "paragraph")

    def _code(self, fence: "re.Match[str]") -> SectionBlock:
        body = []
        self.at += 1
        while self.at < len(self.lines) and not self.lines[self.at].strip().startswith(fence[1]):
            body.append(self.lines[self.at])
            self.at += 1
        self.at += 1
        return SectionBlock("code", _dedented(body), language=fence[2])

    def _indented(self) -> SectionBlock:
        body = []
        while self.at < len(self.lines) and (
            self.lines[self.at].startswith(("    ", "\t")) or not self.lines[self.at].strip()
        ):
            body.append(self.lines[self.at])
            self.at += 1
        return SectionBlock("code", _dedented(body))

    def _is_table(self) -> bool:
        following = self.lines[self.at + 1] if self.at + 1 < len(self.lines) else ""
        return (
            "|" in self.lines[self.at] and "-" in following and "|" in following and bool(_SEPARATOR.match(following))
        )

    def _table(self) -> SectionBlock:
        start = self.at
        rows = [_cells(self.lines[self.at])]
        self.at += 2
        while self.at < len(self.lines) and "|" in self.lines[self.at] and self.lines[self.at].strip():
            rows.append(_cells(self.lines[self.at]))
            self.at += 1
        text = "\n".join(line.rstrip() for line in self.lines[start : self.at])
        return SectionBlock("table", text, rows=tuple(rows))

    def _item(self, item: "re.Match[str]") -> Iterator[SectionBlock]:
        """An item of a list, or a term that the next item explains, as a page's list of definitions is written."""
        indent = len(item[1])
        body = [item[2] or ""]
        self.at += 1
        while self.at < len(self.lines) and (line := self.lines[self.at]).strip():
            if _HEADING.match(line) or ((other := _ITEM.match(line)) and len(other[1]) <= indent) or _FENCE.match(line):
                break
            body.append(line.strip())
            self.at += 1
        text = "\n".join(part for part in body if part)
        if not text:
            return
        if text.rstrip().endswith(_MARK) or not body[0]:
            yield SectionBlock("item", "", term=text)
        else:
            yield _led(text, "item")

    def _described(self) -> SectionBlock:
        """`term`, and below it `: text`, as Pandoc and PHP Markdown Extra write definitions."""
        term = self.paragraph.pop()
        body = [self.lines[self.at][1:].strip()]
        self.at += 1
        while self.at < len(self.lines) and self.lines[self.at].strip():
            body.append(self.lines[self.at].lstrip(": "))
            self.at += 1
        self.paragraph.clear()
        return SectionBlock("definition", plain("\n".join(body)), term=plain(term))


def _is_underline(title: str, line: str) -> bool:
    """Whether a line underlines a title, as setext and reStructuredText do."""
    match = _UNDERLINE.match(line)
    return match is not None and len(line.rstrip()) >= min(len(title.strip()), 4) and len(title) <= _MAX_TERM


def _led(text: str, kind: Literal["paragraph", "item"]) -> SectionBlock:
    """A paragraph or item; a definition where it begins with a term and a colon or dash."""
    bold = _BOLD_LINE.match(text.strip())
    if bold is not None and kind == "paragraph" and "\n" not in text.strip():
        return SectionBlock("item", "", term=bold[1])
    led = _LEAD.match(text)
    if led is not None:
        plainly = led["plain"]
        short = plainly is None or (kind == "item" and ":" in led["mark"] and len(plainly.split()) <= _MAX_PLAIN_WORDS)
        if short and len(led["text"].split()) >= _MIN_TEXT_WORDS:
            return SectionBlock("definition", plain(led["text"]), term=plain(led["bold"] or led["code"] or plainly))
    return SectionBlock(kind, plain(text))


def _defined(blocks: list[SectionBlock]) -> Iterator[SectionBlock]:
    """The blocks, each term that stands alone joined with the text that explains it."""
    terms: list[str] = []
    for block in blocks:
        if block.term and not block.text:
            terms.append(block.term)
            continue
        if terms and block.kind == "item" and _ALIAS.match(block.text):
            terms.append(block.text)  # a second way to call it
            continue
        term = plain(terms[0].split("\n")[0]) if terms else ""
        if term and len(term) <= 2 * _MAX_TERM and block.kind in ("paragraph", "item", "definition"):
            text = f"{block.term}: {block.text}" if block.kind == "definition" else block.text
            yield SectionBlock("definition", text, term=term)
        elif terms:
            yield SectionBlock("paragraph", plain(terms[-1]))
            yield block
        else:
            yield block
        terms = []
    for left in terms:
        yield SectionBlock("paragraph", plain(left))


def _cells(line: str) -> tuple[str, ...]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return tuple(plain(cell) for cell in re.split(r"(?<!\\)\|", inner))


def _dedented(lines: list[str]) -> str:
    import textwrap

    return textwrap.dedent("\n".join(lines)).strip("\n").rstrip()


def cut(section: Section, max_characters: int) -> Iterator[Section]:
    """A section in parts of at most so many characters, cut between its blocks; a block is never cut."""
    part: list[SectionBlock] = []
    size = 0
    for block in section.blocks:
        length = len(block_text(block))
        if part and size + length > max_characters:
            yield replace(section, blocks=tuple(part))
            part, size = [], 0
        part.append(block)
        size += length
    if part:
        yield replace(section, blocks=tuple(part))
