"""Sentences of a text: where they end, as many whole ones as fit, and one with a word left out."""

import re

_END = re.compile(r"(?<=[.!?])[\"')\]”’]*\s+(?=[\"'(\[“‘`]*[A-Z0-9À-ÖØ-Þ\u0370-\u04ff])|(?<=[。？！])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|Dr|Mr|Mrs|No|Fig|Sec|approx|z\.B|bzw|ca|Nr|St)|\b[A-Z])\.$")


def sentences(text: str) -> list[str]:
    """The sentences of a text, each whole; an abbreviation ends none."""
    found: list[str] = []
    open_one = ""
    for piece in _END.split(text):
        piece = f"{open_one} {piece}".strip() if open_one else piece.strip()
        if _ABBREVIATION.search(piece):
            open_one = piece
            continue
        open_one = ""
        if piece:
            found.append(piece)
    if open_one:
        found.append(open_one)
    return found


def shortened(text: str, max_characters: int) -> str | None:
    """As many of the first sentences as fit, whole; None where not even the first does."""
    if len(text) <= max_characters:
        return text
    kept = ""
    for sentence in sentences(text):
        longer = f"{kept} {sentence}".strip()
        if len(longer) > max_characters:
            break
        kept = longer
    return kept or None


def without(text: str, word: str, gap: str = "…") -> str:
    """The text with a gap for every whole occurrence of `word`, whatever its case, its brackets and code marks too."""
    pattern = rf"`?(?<!\w){re.escape(word)}(?!\w)(?:\([^()]*\))?`?"
    return re.sub(pattern, gap, text, flags=re.IGNORECASE)
