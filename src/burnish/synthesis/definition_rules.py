"""Rules that read definitions: terms and signatures with the text that explains them."""

import re
from collections.abc import Iterator

from burnish.synthesis.chunk import DocumentChunk
from burnish.synthesis.names import Named, defaults, looks, named
from burnish.synthesis.rows import Pair
from burnish.synthesis.sentences import sentences, shortened, without
from burnish.synthesis.structure import SectionBlock

_MAX_DESCRIPTION = 400
_MIN_DESCRIPTION_WORDS = 6
_VERSION = re.compile(r"\b(?:New|Added|Introduced|Available) (?:in|since) (?:version )?(?P<version>\d+(?:\.\d+)+)")
_DEPRECATED = re.compile(r"\bDeprecated since (?:version )?(?P<version>\d+(?:\.\d+)+)")


def _definitions(at: DocumentChunk) -> Iterator[tuple[Named, SectionBlock]]:
    for block in at.section.blocks:
        if block.kind == "definition" and (what := named(block.term)) is not None:
            yield what, block


def _within(at: DocumentChunk, what: Named) -> str:
    """Where a name is at home, for names that several documents may have."""
    return "" if "." in what.name or "::" in what.name else f" (in {at.title})"


def definition(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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


def term(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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
            restated=(
                "{answer} of {title}: {description}",
                "{description} That is said of the {kind} {answer} ({title}).",
                "In {title} the {kind} {answer} stands for this: {description}",
            ),
            kind=kind,
            description=description,
        )


def signature(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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


def default(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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
                near=f"default {looks(value)}",
                restated=(
                    "In {shown}{within}, `{parameter}` is {answer} where it is not given.",
                    "{shown}{within} takes {answer} for `{parameter}` unless told otherwise.",
                    "Left out of a call of {shown}{within}, `{parameter}` defaults to {answer}.",
                ),
                parameter=parameter,
                shown=what.shown,
                within=_within(at, what),
            )


def version(at: DocumentChunk, max_answer: int) -> Iterator[Pair]:
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
                    restated=(
                        "{shown}{within} has been {since} since version {answer}.",
                        "With version {answer}, {shown}{within} became {since}.",
                        "Version {answer} is the first in which {shown}{within} is {since}.",
                    ),
                    shown=what.shown,
                    since=since,
                    within=_within(at, what),
                )
