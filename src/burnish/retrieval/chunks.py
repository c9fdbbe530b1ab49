"""Documents cut into passages, along headings and paragraphs.

Notable choices:
- a passage is a slice of its document, so that what is cited is what stands there;
- it never crosses a heading, and knows the headings that it stands under;
- paragraphs stay whole where they fit; a longer one is cut between lines or sentences, and only a longer sentence
  within;
- tokens are those of the tokenizer of whoever reads the passages, or words and signs where nobody does.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

TokenStarts = Callable[[str], Sequence[int]]
"""The character at which each token of a text begins, in order."""

_WORDS = re.compile(r"\w+|[^\w\s]")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"([=\-~^\"'*+#.:_`])\1{2,}[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ANCHOR = "¶"
"""What Sphinx's pages have behind a title, to be pointed at."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][)\"'”’\]])\s+|(?<=[。！？])|\n")
LONGEST_HEADING = 200
"""Characters; a longer line is a paragraph that begins like a heading."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: characters `start` to `end` of its document, and the headings above it, joined by ` > `."""

    start: int
    end: int
    heading: str


def words_and_signs(text: str) -> list[int]:
    """Where each word or punctuation mark begins: tokens where no tokenizer says what one is."""
    return [found.start() for found in _WORDS.finditer(text)]


def chunk(text: str, token_starts: TokenStarts, *, size: int, overlap: int, headings: bool = True) -> list[Chunk]:
    """Cut a document into passages of at most `size` tokens.

    overlap: tokens at the end of a passage, at most, that the next one of the same section begins with. They begin with
        a sentence where one begins there.
    headings: whether the document has any: in source code `# ` begins a comment.

    Every character but white space and headings is in a passage. A heading with nothing below it is a passage itself.
    """
    tokens = _Tokens(text, token_starts(text))
    sections = _sections(text) if headings else [_Section(0, len(text), "")]
    return [
        Chunk(start, end, section.heading)
        for section in sections
        for start, end in _pack(text, section, tokens, size, overlap)
    ]


@dataclass(frozen=True, slots=True)
class _Section:
    start: int
    end: int
    heading: str


class _Tokens:
    """The tokens of a document, by the characters at which they begin."""

    def __init__(self, text: str, starts: Sequence[int]) -> None:
        self.text, self.starts = text, starts

    def count(self, start: int, end: int) -> int:
        """How many begin between two characters."""
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)

    def after(self, start: int, count: int) -> int:
        """The character before which `count` tokens from `start` on end."""
        place = bisect_left(self.starts, start) + count
        return self.starts[place] if place < len(self.starts) else len(self.text)

    def before(self, end: int, count: int) -> int:
        """The character at which the last `count` tokens before `end` begin."""
        place = max(bisect_left(self.starts, end) - count, 0)
        return self.starts[place] if place < len(self.starts) else end


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each line, the end without its line break."""
    start = 0
    while start <= len(text):
        end = text.find("\n", start)
        if end < 0:
            yield start, len(text)
            return
        yield start, end
        start = end + 1


def _sections(text: str) -> Iterator[_Section]:
    """The text between headings, each with the headings above it. One that is blank is only yielded as a heading."""
    path: list[tuple[int, str]] = []
    begin, heading_begin, heading_end = 0, 0, 0
    for start, end, level, title in [*_headings(text), (len(text), len(text), 1, "")]:
        joined = " > ".join(name for _, name in path if name)
        if text[begin:start].strip():
            yield _Section(begin, start, joined)
        elif path and level <= path[-1][0]:  # nothing stands below this heading: it would be lost
            yield _Section(heading_begin, heading_end, " > ".join(name for _, name in path[:-1] if name))
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, title))
        begin, heading_begin, heading_end = end, start, end


def _headings(text: str) -> Iterator[tuple[int, int, int, str]]:
    """Where each heading starts and ends, its level, its title: Markdown's, and underlined ones of reStructuredText."""
    fence = ""
    underlines: dict[str, int] = {}
    # The line before, where it may be a title: one that follows a blank line, or an overline of reStructuredText.
    title: tuple[int, int] | None = None
    overline: int | None = None
    blank = True
    for start, end in _lines(text):
        line = text[start:end]
        if (marks := _FENCE.match(line)) is not None and (not fence or marks[1].startswith(fence)):
            fence = "" if fence else marks[1]
            title, overline, blank = None, None, False
        elif fence:
            continue
        elif len(line) <= LONGEST_HEADING and (found := _HEADING.match(line)) is not None and found[2].strip():
            yield start, end, len(found[1]), found[2].strip().removesuffix(_ANCHOR)
            title, overline, blank = None, None, True
        elif (under := _UNDERLINE.match(line)) is not None:
            name = "" if title is None else text[title[0] : title[1]].strip()
            if title is not None and len(name) <= min(len(line.rstrip()), LONGEST_HEADING):
                begin = title[0] if overline is None or text[overline] != line[0] else overline
                yield begin, end, underlines.setdefault(under[1], len(underlines) + 1), name
                title, overline, blank = None, None, True
            else:
                title, overline, blank = None, start, False
        elif not line.strip():
            title, overline, blank = None, None, True
        else:
            follows = blank or overline is not None
            title, overline, blank = (start, end) if follows else None, overline if follows else None, False


def _pack(text: str, section: _Section, tokens: _Tokens, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """The passages of a section: as many whole units one behind the other as fit."""
    start: int | None = None
    last_end = section.start
    for unit_start, unit_end in _units(text, section, tokens, size):
        if start is not None and tokens.count(start, unit_end) > size:
            yield start, last_end
            repeated = _overlap_start(text, tokens, start, last_end, overlap)
            start = repeated if repeated < last_end and tokens.count(repeated, unit_end) <= size else unit_start
        elif start is None:
            start = unit_start
        last_end = unit_end
    if start is not None:
        yield start, last_end


def _overlap_start(text: str, tokens: _Tokens, start: int, end: int, overlap: int) -> int:
    """Where the repeated end of a passage begins: at a sentence, or at a token where no sentence is short enough."""
    earliest = max(tokens.before(end, overlap), start) if overlap else end
    sentence = _SENTENCE_END.search(text, earliest, end)
    return sentence.end() if sentence is not None and text[sentence.end() : end].strip() else earliest


def _units(text: str, section: _Section, tokens: _Tokens, size: int) -> Iterator[tuple[int, int]]:
    """What is not cut: paragraphs of at most `size` tokens, of longer ones lines and sentences, of those pieces."""
    for start, end in _paragraphs(text, section.start, section.end):
        if tokens.count(start, end) <= size:
            yield start, end
            continue
        for piece_start, piece_end in _sentences(text, start, end):
            while tokens.count(piece_start, piece_end) > size:
                cut = _cut(text, tokens, piece_start, size)
                piece = text[piece_start:cut].rstrip()
                if piece:
                    yield piece_start, piece_start + len(piece)
                piece_start = cut
            if text[piece_start:piece_end].strip():
                yield piece_start, piece_end


def _cut(text: str, tokens: _Tokens, start: int, size: int) -> int:
    """Where to cut what is too long: between words where there are several, else between tokens."""
    limit = tokens.after(start, size)
    space = max(text.rfind(" ", start, limit), text.rfind("\t", start, limit))
    return limit if text[limit - 1].isspace() or tokens.count(start, space + 1) < size // 2 else space + 1


def _paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Runs of lines that are not blank, without white space around them; fenced code is one with its blank lines."""
    begin: int | None = None
    last, fence = start, ""
    for line_start, line_end in _lines(text[start:end]):
        line_start, line_end = line_start + start, line_end + start
        line = text[line_start:line_end]
        marks = _FENCE.match(line)
        if marks is not None and (not fence or marks[1].startswith(fence)):
            fence = "" if fence else marks[1]
        if not line.strip() and not fence:
            if begin is not None:
                yield begin, last
            begin = None
        elif line.strip():
            begin = line_start if begin is None else begin
            last = line_start + len(line.rstrip())
    if begin is not None:
        yield begin, last


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Sentences and lines of a paragraph, without white space behind them."""
    begin = start
    for found in _SENTENCE_END.finditer(text, start, end):
        if text[begin : found.start()].strip():
            yield begin, found.start()
        begin = found.end()
    if text[begin:end].strip():
        yield begin, end
