"""Questions as people really write them: with typos, in two languages, vague, in a few or in other words.

The answer stays, so that a model learns to answer them all the same. No model is asked: what is changed is drawn by a
hash of the question. Also conversations out of several questions, which change their topic and come back.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from pydantic import Field

from burnish.methods.settings import Strict
from burnish.synthesis.rows import Pair, place

Variant = Literal["typos", "short", "vague", "mixed_language", "synonyms", "reworded", "dialogue"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_WORD = re.compile(r"`[^`]*`|“[^”]*”|[A-Za-zÀ-ÿ]{4,}")
_FUNCTION_WORDS = re.compile(
    r"\b(?:what|which|who|does|do|did|is|are|was|the|an?|of|for|in|by|it|there|have|has|say|about|to|me|tell|that|how|and|"
    r"please|with|so|this|described|term|explain|value)\b[,:]?",
    re.IGNORECASE,
)
_AROUND: Mapping[str, tuple[str, str]] = {
    "de": ("Kurze Frage: ", " Bitte antworte knapp."),
    "fr": ("Une question : ", " Réponds brièvement, s’il te plaît."),
    "es": ("Una pregunta: ", " Responde brevemente, por favor."),
    "zh": ("请问：", " 请简短回答。"),
}
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "allowed": ("permitted",),
    "available": ("usable", "present"),
    "begin": ("start",),
    "belongs": ("fits", "goes"),
    "called": ("invoked",),
    "change": ("alter", "modify"),
    "column": ("field",),
    "cover": ("deal with", "treat"),
    "create": ("make", "set up"),
    "default": ("standard value", "preset"),
    "delete": ("remove", "erase"),
    "deprecated": ("discouraged",),
    "describe": ("characterize", "outline"),
    "described": ("characterized", "put"),
    "description": ("explanation",),
    "example": ("sample", "illustration"),
    "explain": ("clarify", "spell out"),
    "find": ("locate",),
    "function": ("routine", "callable"),
    "gap": ("blank",),
    "introduction": ("overview",),
    "last": ("final",),
    "parameter": ("argument",),
    "parameters": ("arguments",),
    "passage": ("paragraph", "text"),
    "purpose": ("point", "aim"),
    "short": ("brief",),
    "show": ("display", "present"),
    "signature": ("calling form",),
    "start": ("begin", "launch"),
    "stop": ("halt", "end"),
    "term": ("expression",),
    "title": ("heading",),
    "use": ("employ",),
    "version": ("release",),
}
"""Words that questions are worded with, and what may stand for them; names, code and quotes are never changed."""
_NOT_WORDED = re.compile(r"(`[^`]*`|“[^”]*”|\([^()]*\)|^(?!What|Which|Who|How|Since|Tell|Give|Explain|In )[^?“]*?: )")
_REWORDED: tuple[tuple["re.Pattern[str]", tuple[str, ...]], ...] = (
    (
        re.compile(r"^What does (?P<x>.+?) do(?P<rest> \(in .+\))?\?$"),
        (
            "What is the purpose of {x}{rest}?",
            "I came across {x}{rest}. What happens when I use it?",
            "Describe the effect of {x}{rest}.",
        ),
    ),
    (
        re.compile(r"^What (?:is|are) (?P<x>.+?)(?P<rest> \(.+\))?\?$"),
        ("Could you tell me what {x} is{rest}?", "How would you define {x}{rest}?", "{x}{rest}: what does that mean?"),
    ),
    (
        re.compile(r"^Explain (?:the term )?(?P<x>.+?)(?P<rest> \(in .+\))?\.$"),
        ("Please describe {x}{rest}.", "In your own words, what is {x}{rest}?"),
    ),
    (
        re.compile(r"^What does (?P<rest>.+) say about (?P<x>.+)\?$"),
        ("What can one learn about {x} from {rest}?", "Summarize what {rest} has on {x}."),
    ),
    (
        re.compile(r"^How do (?:I|you) (?P<x>.+)\?(?P<rest>)$"),
        ("What is the way to {x}?", "I want to {x}. What do I have to do?"),
    ),
    (
        re.compile(r"^Which (?P<x>parameters) does (?P<rest>.+) take(?P<more> .+)?\?$"),
        ("List the {x} of {rest}.", "What can be passed to {rest}?"),
    ),
)


class Variants(Strict):
    """Further wordings of the rows that there are."""

    kinds: list[Variant] = Field(
        [], description="typos, short, vague, mixed_language, synonyms, reworded, dialogue; none if left out"
    )
    share: float = Field(0.2, gt=0, le=1, description="share of the rows that get a variant of each kind")


def varied(pairs: Sequence[Pair], settings: Variants) -> list[Pair]:
    """The variants of some of the pairs, in their order; a question that a kind cannot change gives none."""
    found: list[Pair] = []
    for kind in settings.kinds:
        if kind == "dialogue":
            found += dialogues(pairs, settings.share)
            continue
        for pair in pairs:
            if pair.messages or "\n" in pair.question or place(kind, pair.question) >= settings.share * 2**64:
                continue
            question = _CHANGES[kind](pair.question)
            if question is not None and question != pair.question:
                source = replace(pair.source, method=f"{pair.source.method}+{kind}")
                found.append(replace(pair, question=question, source=source, short=False, alike=""))
    return found


def typos(question: str) -> str | None:
    """One typo in about every sixth word: a letter left out, twice, swapped, or its neighbour on the keyboard.

    What stands in quotes or as code is left alone: with another name it would be another question.
    """
    words = [match for match in _WORD.finditer(question) if match[0][0] not in "`“"]
    if not words:
        return None
    chosen = sorted(words, key=lambda match: place("typo", question, match.start()))[: max(1, len(words) // 6)]
    for match in sorted(chosen, key=lambda match: -match.start()):
        word = match[0]
        at = 1 + place("at", question, word) % (len(word) - 2)
        letter = word[at]
        row = next((keys for keys in _KEYS if letter.lower() in keys), letter)
        near = row[(row.find(letter.lower()) + 1) % len(row)]
        changed = (
            word[:at] + word[at + 1 :],
            word[:at] + letter + word[at:],
            word[:at] + word[at + 1] + letter + word[at + 2 :],
            word[:at] + near + word[at + 1 :],
        )[place("kind", question, word) % 4]
        question = question[: match.start()] + changed + question[match.end() :]
    return question


def short(question: str) -> str | None:
    """The words that carry the question, as people type into a search box."""
    parts = re.split(r"(`[^`]*`|“[^”]*”)", question)
    kept = [part if at % 2 else _FUNCTION_WORDS.sub("", part) for at, part in enumerate(parts)]
    text = " ".join("".join(kept).split()).strip(" ?.:,")
    return text.replace("( ", "(") if len(text.split()) >= 2 else None


def vague(question: str) -> str | None:
    """The question without the place that it names, in words of somebody who does not know how to ask."""
    bare = re.sub(r"\s*\((?:in )?[^()`]+\)(?=[?.]?$)", "", question)
    if bare == question:
        return None
    begin = ("Hi, not sure how to put this. ", "Sorry if this is a silly question: ", "Quick one: ", "Um, ")
    return begin[place("vague", question) % len(begin)] + bare


def mixed_language(question: str) -> str | None:
    """The question between words of another language."""
    before, after = _AROUND[sorted(_AROUND)[place("language", question) % len(_AROUND)]]
    return f"{before}{question}{after}" if place("end", question) % 2 else f"{before}{question}"


def synonyms(question: str) -> str | None:
    """The question with other words for the same; None where it has none that there are others for."""

    def other(match: "re.Match[str]") -> str:
        words = _SYNONYMS[match[0].lower()]
        word = words[place("synonym", question, match[0]) % len(words)]
        return word.capitalize() if match[0][0].isupper() else word

    pattern = rf"\b(?:{'|'.join(_SYNONYMS)})\b"
    parts = _NOT_WORDED.split(question)
    changed = "".join(
        part if at % 2 else re.sub(pattern, other, part, flags=re.IGNORECASE) for at, part in enumerate(parts)
    )
    return changed if changed != question else None


def reworded(question: str) -> str | None:
    """The question in other words and another order."""
    for pattern, wordings in _REWORDED:
        if (match := pattern.match(question)) is not None:
            parts = {key: value or "" for key, value in match.groupdict().items()}
            return wordings[place("reworded", question) % len(wordings)].format(**parts)
    return None


_CHANGES: Mapping[Variant, Callable[[str], str | None]] = {
    "typos": typos,
    "short": short,
    "vague": vague,
    "mixed_language": mixed_language,
    "synonyms": synonyms,
    "reworded": reworded,
}


def dialogues(pairs: Sequence[Pair], share: float) -> list[Pair]:
    """Conversations of three questions: one of a document, one of another, and one more of the first."""
    by_document: dict[str, list[Pair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: place("dialogue", pair.question)):
        if not pair.messages and pair.task_type in ("question_answering", "short_answer") and "\n" not in pair.question:
            by_document[pair.source.document].append(pair)
    documents = sorted(
        (name for name in by_document if len(by_document[name]) > 1), key=lambda name: place("turn", name)
    )
    found = []
    for at, name in enumerate(documents if len(documents) > 1 else []):
        others = by_document[documents[(at + 1) % len(documents)]]
        own = by_document[name]
        for number in range(min(max(1, round(len(own) * share / 3)), len(own) // 2)):
            first, back = own[2 * number : 2 * number + 2]
            found.append(_dialogue(first, others[number % len(others)], back))
    return found


def _dialogue(first: Pair, other: Pair, back: Pair) -> Pair:
    back_again = f"Back to what I asked first. {back.question}"
    turns = [
        (first.question, first.answer),
        (f"Something else: {other.question}", other.answer),
        (back_again, back.answer),
    ]
    messages = tuple(
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    )
    source = replace(first.source, method="dialogue")
    asked = "\n".join(question for question, _ in turns)
    return Pair(asked, back.answer, "dialogue", source, messages=messages, others=(other.source, back.source))
