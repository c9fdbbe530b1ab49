"""Rules that read sections and their prose: headings, paragraphs, sentences."""

import re
from collections.abc import Iterator, Sequence

from burnish.synthesis.chunk import DocumentChunk
from burnish.synthesis.names import named
from burnish.synthesis.rows import Pair, place
from burnish.synthesis.sentences import sentences, shortened
from burnish.synthesis.structure import SectionBlock

_MAX_HEADING_WORDS = 12
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


def faq(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
    heading = at.heading
    if at.first and heading.endswith(("?", "？")) and len(heading.split()) > 2:
        answer = _prose(at.section.blocks, max_answer)
        if answer:
            yield at.pair(
                "faq", ("{heading}", "{heading}", "{title}: {heading}"), answer, "question_answering", heading=heading
            )


def _prose(blocks: Sequence[SectionBlock], max_characters: int) -> str:
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


def topic(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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


def statement(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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


def gap(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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
            restated=("{about}: {sentence}", "{sentence} ({about})", "What {about} says: {sentence}"),
            about=at.where if about is None else f"{at.title}, {about.shown}",
            kind="number" if kind == "number" else "name",
            gapped=gapped,
            sentence=sentence,
        )


def title(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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


def origin(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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
