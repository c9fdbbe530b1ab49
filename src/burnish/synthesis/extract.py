"""Questions and answers that stand in a document's structure already: no model writes them, so none can make them up.

Each rule reads one kind of structure. What it asks is worded in one of several ways, chosen by a hash, so that a model
learns the question and not its wording; the answer is the document's own words.

| rule | from | asks for |
| --- | --- | --- |
| `definition` | a term or signature and its text | what it is or does |
| `term` | the same | the term, by its description: exact |
| `signature` | a signature | how it is called |
| `default` | a signature | the default of a parameter: exact |
| `version` | "New in version 3.8" in a definition | the version: exact |
| `faq` | a heading that is a question | its section |
| `topic` | a heading | its first paragraph |
| `statement` | a paragraph that begins "X is a ..." | what X is |
| `table` | a table whose first column names its rows | a cell: exact where it is short |
| `session` | a recorded Python session | what an expression gives: exact |
| `example` | code below a sentence that ends with a colon | the code |
| `gap` | a sentence with one number or one name in code | what is missing: exact |
| `title` | a section | its heading |
| `origin` | a paragraph | which document it is from, of several |
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from burnish.synthesis.rows import Pair, Source, TaskType, place
from burnish.synthesis.sentences import sentences, shortened, without
from burnish.synthesis.structure import Block, Section

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
_MAX_DESCRIPTION = 400
_MIN_DESCRIPTION_WORDS = 6
_MAX_HEADING_WORDS = 12
_MAX_TABLE_ROWS = 300
_MAX_SESSION_LINES = 8

_SIGNATURE = re.compile(
    r"(?:[\w*&]+[ *&]+)*(?P<name>[\w.:$~]+)(?P<arguments>\(.*\))(?:\s*(?:->|→).*|\s+[\w.]+)?$", re.DOTALL
)
_KEYWORD = re.compile(
    r"(?:class|exception|module|struct|interface|enum|type|attribute|data|const|static)\s+(?P<name>\S+)$"
)
_VERSION = re.compile(r"\b(?:New|Added|Introduced|Available) (?:in|since) (?:version )?(?P<version>\d+(?:\.\d+)+)")
_DEPRECATED = re.compile(r"\bDeprecated since (?:version )?(?P<version>\d+(?:\.\d+)+)")
_SUBJECT = re.compile(
    r"(?P<subject>(?:(?:An?|The) [\w`]|[A-Z`0-9])[\w`'’.()/+-]*(?: [\w`'’()/+-]+){0,4}) (?P<verb>is|are) "
    r"(?=(?:an?|the|one|used|designed|intended|responsible|defined|any|when|where)\b)"
)
_NO_SUBJECT = re.compile(
    r"(?:this|it|there|these|those|that|here|each|what|such|which|they|he|she|we|you|another|some|all|both|one|"
    r"note|example|if|when|where|in|on|for|the following|other|most|many)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.,/:-])\d[\d,.]*\d(?![\w/:-])|(?<![\w.,/:-])\d(?![\w.,/:-])")
_CODE = re.compile(r"`([^`\s]{2,40})`")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule reads: a part of a section of a document.

    title: what the document is called. of: the number of the part in the document. first: whether the section begins.
    """

    document: str
    title: str
    of: int
    hash: str
    section: Section
    first: bool = True
    licence: str | None = None

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
        **values: str,
    ) -> Pair:
        """A pair whose question is one of several wordings, filled with values."""
        wording = wordings[place(self.document, self.hash, rule, *values.values()) % len(wordings)]
        question = wording.format(title=self.title, where=self.where, **values)
        source = Source(self.document, self.of, self.hash, rule, None, self.licence)
        return Pair(question, answer, task_type, source, short and len(answer) <= MAX_SHORT, alike, near)


@dataclass(frozen=True, slots=True)
class Named:
    """What a definition's term names: its name, and the parenthesis behind it where it can be called."""

    name: str
    arguments: str = ""

    @property
    def code(self) -> bool:
        """Whether it is written as code."""
        return bool(self.arguments) or re.fullmatch(r"[\w.:$-]*[_.:$][\w.:$]*|--?\w[\w-]*", self.name) is not None

    @property
    def shown(self) -> str:
        """As a question writes it."""
        return f"`{self.name}{'()' if self.arguments else ''}`" if self.code else self.name


def named(term: str) -> Named | None:
    """What a term names; None where it is none, such as a sentence."""
    bare = term.strip().strip("`").strip()
    if (signature := _SIGNATURE.match(bare)) is not None:
        return Named(signature["name"], " ".join(signature["arguments"].split()))
    if (keyword := _KEYWORD.match(bare)) is not None:
        return Named(keyword["name"])
    if not bare or len(bare.split()) > 6 or bare.endswith((".", ":", ";", "?", "!")) or not re.search(r"\w", bare):
        return None
    return Named(bare)


def pairs(at: Place, rules: Sequence[Rule], max_answer: int) -> Iterator[Pair]:
    """All pairs that the rules find at a place. max_answer: characters of an answer, cut only between sentences."""
    for rule, read in _READERS.items():
        if rule in rules:
            yield from read(at, max_answer)


def _definitions(at: Place) -> Iterator[tuple[Named, Block]]:
    for block in at.section.blocks:
        if block.kind == "definition" and (what := named(block.term)) is not None:
            yield what, block


def _within(at: Place, what: Named) -> str:
    """Where a name is at home, for names that several documents may have."""
    return "" if "." in what.name or "::" in what.name else f" (in {at.title})"


def _definition(at: Place, max_answer: int) -> Iterator[Pair]:
    for what, block in _definitions(at):
        answer = shortened(block.text, max_answer)
        if answer is None or len(answer.split()) < 3:
            continue
        wordings = (
            ("What does {shown} do{within}?", "What is {shown} for{within}?", "Explain {shown}{within}.")
            if what.arguments
            else (
                "What is {shown}{within}?",
                "Explain the term {shown}{within}.",
                "What does {title} say about {shown}?",
            )
        )
        yield at.pair("definition", wordings, answer, "question_answering", shown=what.shown, within=_within(at, what))


def _term(at: Place, max_answer: int) -> Iterator[Pair]:
    for what, block in _definitions(at):
        first = sentences(block.text)[:1]
        last = re.split(r"[.:]+", what.name)[-1]
        description = without(without(first[0], what.name), last) if first else ""
        if not len(description.split()) >= _MIN_DESCRIPTION_WORDS or len(description) > _MAX_DESCRIPTION:
            continue
        kind = "function" if what.arguments else "identifier" if what.code else "term"
        yield at.pair(
            "term",
            (
                "Which {kind} of {title} is described so: “{description}”",
                "{title}: name the {kind} with this description: “{description}”",
            ),
            f"`{what.name}`" if what.code else what.name,
            "short_answer",
            short=True,
            alike=kind,
            near=f"{kind} of {at.document}",
            kind=kind,
            description=description,
        )


def _signature(at: Place, max_answer: int) -> Iterator[Pair]:
    for what, _ in _definitions(at):
        if len(what.arguments) > 4 and len(what.arguments) <= max_answer:
            yield at.pair(
                "signature",
                (
                    "What is the signature of {shown}{within}?",
                    "How is {shown} called{within}?",
                    "Which parameters does {shown} take{within}?",
                ),
                f"`{what.name}{what.arguments}`",
                "code",
                shown=what.shown,
                within=_within(at, what),
            )


def _default(at: Place, max_answer: int) -> Iterator[Pair]:
    for what, _ in _definitions(at):
        for parameter, value in defaults(what.arguments):
            yield at.pair(
                "default",
                (
                    "What is the default of the parameter `{parameter}` of {shown}{within}?",
                    "Which value does `{parameter}` have by default in {shown}{within}?",
                ),
                f"`{value}`",
                "short_answer",
                short=True,
                alike="default",
                near=f"default {_looks(value)}",
                parameter=parameter,
                shown=what.shown,
                within=_within(at, what),
            )


def defaults(arguments: str) -> list[tuple[str, str]]:
    """Parameters of a signature that have a default, with it as written."""
    inner = arguments[1:-1].replace("[,", ",").replace("]", "") if arguments.count("[") == arguments.count("]") else ""
    if "[," not in arguments:
        inner = arguments[1:-1]
    found = []
    for part in _top_level(inner):
        match = re.fullmatch(r"\s*\**(\w+)\s*(?::[^=]*)?=\s*(.{1,40}?)\s*", part)
        if match is not None and match[2].count("(") == match[2].count(")"):
            found.append((match[1], match[2]))
    return found


def _top_level(text: str) -> list[str]:
    """The parts between the commas that stand in no bracket and no quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _looks(value: str) -> str:
    """What kind of value a text is, so that a wrong option is of the same kind."""
    bare = value.strip("`")
    if re.fullmatch(r"[-+]?\d[\d,._]*", bare):
        return "number"
    if bare[:1] in "\"'":
        return "text"
    return "word" if re.fullmatch(r"[\w.]+", bare) else "other"


def _version(at: Place, max_answer: int) -> Iterator[Pair]:
    for what, block in _definitions(at):
        for pattern, since in ((_VERSION, "available"), (_DEPRECATED, "deprecated")):
            if (match := pattern.search(block.text)) is not None:
                yield at.pair(
                    "version",
                    ("Since which version is {shown} {since}{within}?",),
                    match["version"],
                    "short_answer",
                    short=True,
                    alike="version",
                    near="version",
                    shown=what.shown,
                    since=since,
                    within=_within(at, what),
                )


def _faq(at: Place, max_answer: int) -> Iterator[Pair]:
    heading = at.heading
    if at.first and heading.endswith(("?", "？")) and len(heading.split()) > 2:
        answer = _prose(at.section.blocks, max_answer)
        if answer:
            yield at.pair(
                "faq", ("{heading}", "{heading}", "{title}: {heading}"), answer, "question_answering", heading=heading
            )


def _prose(blocks: Sequence[Block], max_characters: int) -> str:
    """As many of a section's first blocks as fit, whole; of the first block as many sentences as fit."""
    kept: list[str] = []
    size = 0
    for block in blocks:
        text = f"```\n{block.text}\n```" if block.kind == "code" else block.text
        if block.kind in ("table", "definition"):
            break
        if size + len(text) > max_characters:
            if not kept and block.kind != "code" and (cut := shortened(text, max_characters)) is not None:
                kept.append(cut)
            break
        kept.append(text if block.kind != "item" else f"- {text}")
        size += len(text)
    while kept and kept[-1].rstrip().endswith(":"):  # what it announces did not fit
        kept.pop()
    return "\n\n".join(kept)


def _topic(at: Place, max_answer: int) -> Iterator[Pair]:
    heading = at.heading
    first = next(
        (block for block in at.section.blocks if block.kind == "paragraph" and len(block.text.split()) > 7), None
    )
    if first is None or not at.first or heading.endswith(("?", "？")) or not at.section.headings:
        return
    answer = shortened(first.text, max_answer)
    if answer is not None and not answer.endswith(":") and 0 < len(heading.split()) <= _MAX_HEADING_WORDS:
        wordings = (
            "What does {title} say about “{heading}”?",
            "Tell me about “{heading}” ({title}).",
            "{title}: what is there to know about “{heading}”?",
        )
        if heading == at.title:
            wordings = (
                "What is {heading} about?",
                "Give a short introduction to {heading}.",
                "What does {heading} cover?",
            )
        yield at.pair("topic", wordings, answer, "question_answering", heading=heading)


def _statement(at: Place, max_answer: int) -> Iterator[Pair]:
    for block in at.section.blocks:
        if block.kind != "paragraph" or (match := _SUBJECT.match(block.text)) is None:
            continue
        subject = match["subject"]
        if _NO_SUBJECT.match(subject) or (answer := shortened(block.text, max_answer)) is None or answer.endswith(":"):
            continue
        yield at.pair(
            "statement",
            ("What {verb} {subject} ({title})?", "{title}: what {verb} {subject}?"),
            answer,
            "question_answering",
            subject=_inside(subject),
            verb=match["verb"],
        )


def _inside(subject: str) -> str:
    """A sentence's first words as they stand inside another sentence."""
    article = subject.split()[0] in ("The", "A", "An")
    return subject[:1].lower() + subject[1:] if article else subject


def _table(at: Place, max_answer: int) -> Iterator[Pair]:
    for block in at.section.blocks:
        if block.kind != "table" or not 2 < len(block.rows) <= _MAX_TABLE_ROWS:
            continue
        header, *body = block.rows
        keys = [row[0] for row in body if row]
        if len(set(keys)) < len(keys) or not all(keys) or not 2 <= len(header) <= 12:
            continue
        for column in range(1, len(header)):
            if not header[column]:
                continue
            for row in body:
                if column < len(row) and row[column] and len(row[column]) <= max_answer:
                    yield at.pair(
                        "table",
                        (
                            "{where}: what is the “{column}” of {key}?",
                            "In the table of {where}, what does the column “{column}” have for {key}?",
                        ),
                        row[column],
                        "short_answer" if len(row[column]) <= MAX_SHORT else "question_answering",
                        short=True,
                        alike=f"cell {_looks(row[column])}",
                        near=f"{at.document} {at.of} {column} {block.rows[0]}",
                        column=header[column],
                        key=f"{header[0]} {row[0]}" if header[0] else row[0],
                    )


def _session(at: Place, max_answer: int) -> Iterator[Pair]:
    for block in at.section.blocks:
        if block.kind != "code" or ">>> " not in block.text:
            continue
        lines = block.text.split("\n")
        for number, line in enumerate(lines[:-1]):
            said, following = lines[number + 1], lines[number + 2] if number + 2 < len(lines) else ""
            one_line = not said.startswith((">>>", "...")) and (not following.strip() or following.startswith(">>>"))
            if not line.startswith(">>> ") or not one_line or not said.strip() or len(said) > MAX_SHORT:
                continue
            if re.search(r"0x[0-9A-F]{4}|Traceback|\.\.\.", said) or number > _MAX_SESSION_LINES:
                continue
            yield at.pair(
                "session",
                (
                    "{title}. What does the last line give?\n\n```\n{code}\n```",
                    "```\n{code}\n```\n\nWhich value is shown after the last line? ({title})",
                ),
                f"`{said.strip()}`",
                "code",
                short=True,
                alike=f"value {_looks(said.strip())}",
                near=f"value {_looks(said.strip())} {at.document}",
                code="\n".join(lines[: number + 1]),
            )


def _example(at: Place, max_answer: int) -> Iterator[Pair]:
    for before, block in zip(at.section.blocks, at.section.blocks[1:], strict=False):
        if block.kind != "code" or not 20 < len(block.text) <= 3 * max_answer or before.kind == "code":
            continue
        lead = sentences(before.text)[-1:]
        if not lead or not lead[0].endswith(":") or not 4 < len(lead[0].split()) < 50:
            continue
        what = named(before.term) if before.kind == "definition" else None
        yield at.pair(
            "example",
            ("{about}: show the example for this: “{lead}”", "Give the code of {about} for: “{lead}”"),
            f"```{block.language}\n{block.text}\n```",
            "code",
            about=at.where if what is None else what.shown,
            lead=lead[0].removesuffix(":"),
        )


def _gap(at: Place, max_answer: int) -> Iterator[Pair]:
    for block in at.section.blocks:
        if block.kind not in ("paragraph", "item", "definition"):
            continue
        found = []
        for sentence in sentences(block.text):
            if not 8 <= len(sentence.split()) <= 40:
                continue
            numbers, codes = _NUMBER.findall(sentence), _CODE.findall(sentence)
            if len(numbers) == 1 and len(codes) < 3:
                found.append((sentence, numbers[0], "number"))
            elif len(set(codes)) == 1 and not numbers:
                found.append((sentence, codes[0], "code"))
        if not found:
            continue
        sentence, missing, kind = min(found, key=lambda one: place(at.hash, one[0]))
        answer = f"`{missing}`" if kind == "code" else missing
        gapped = sentence.replace(answer, "____")
        about = named(block.term) if block.kind == "definition" else None
        yield at.pair(
            "gap",
            ("Which {kind} belongs in the gap ({about})? {gapped}", "Fill in the {kind} ({about}): {gapped}"),
            answer,
            "short_answer",
            short=True,
            alike=f"gap {kind}",
            near=f"gap {kind} {at.document}" if kind == "code" else "gap number",
            about=at.where if about is None else f"{at.title}, {about.shown}",
            kind="number" if kind == "number" else "name",
            gapped=gapped,
        )


def _title(at: Place, max_answer: int) -> Iterator[Pair]:
    heading = at.section.headings[-1] if len(at.section.headings) > 1 else ""
    text = "\n\n".join(block.text for block in at.section.blocks if block.kind in ("paragraph", "item"))
    if 2 <= len(heading.split()) <= _MAX_HEADING_WORDS and len(text.split()) >= 60 and len(text) <= 4 * max_answer:
        yield at.pair(
            "title",
            ("Give this passage a title.\n\n{text}", "What is this passage about? Answer with a title.\n\n{text}"),
            heading,
            "summarization",
            text=text,
        )


def _origin(at: Place, max_answer: int) -> Iterator[Pair]:
    fitting = [
        block.text
        for block in at.section.blocks
        if block.kind == "paragraph" and len(block.text.split()) >= 25 and len(block.text) <= 2 * max_answer
    ]
    if fitting and at.title:
        yield at.pair(
            "origin",
            ("Which of these documents is the passage from?\n\n{text}",),
            at.title,
            "classification",
            short=True,
            alike="title",
            near="title",
            text=min(fitting, key=lambda text: place(at.document, text)),
        )


_READERS: dict[Rule, Callable[[Place, int], Iterator[Pair]]] = {
    "definition": _definition,
    "term": _term,
    "signature": _signature,
    "default": _default,
    "version": _version,
    "faq": _faq,
    "topic": _topic,
    "statement": _statement,
    "table": _table,
    "session": _session,
    "example": _example,
    "gap": _gap,
    "title": _title,
    "origin": _origin,
}
