"""General English prose that is on every machine: the language reference that Python carries for `help()`.

Text on programming, dry and correct: a source to replay where there is no network and no other text, so that a model
does not forget how sentences are made. Text of the kind that the model was trained on is better.
"""

import re
from collections.abc import Iterator

from burnish.corpus.documents import Document
from burnish.errors import BurnishError

STDLIB = "stdlib"
"""The word by which recipes name this text."""
MIN_CHARACTERS = 200
MAX_CHARACTERS = 4_000
_HEADING = re.compile(r"\n(?=[^\n]+\n(?:\*{4,}|={4,}|-{4,})\n)")


def stdlib_documents() -> list[Document]:
    """One document a section of the reference, long sections in parts.

    The topics repeat a fifth of their paragraphs in each other. Only the first copy stays: a copy in the held-out text
    of what was replayed in training would hide forgetting. Raises BurnishError where this Python was installed without.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise BurnishError(
            f"{STDLIB}: this Python was installed without the text of its help (pydoc_data); "
            "name files of general text instead"
        ) from None
    known: set[str] = set()
    found = []
    for topic, page in sorted(topics.items()):
        sections = _HEADING.split(page.strip())
        parts = [part for section in sections for part in _parts(_new_paragraphs(section, known))]
        for number, part in enumerate(part for part in parts if len(part) >= MIN_CHARACTERS):
            found.append(Document(f"python/{topic}/{number}", part, STDLIB))
    return found


def _new_paragraphs(section: str, known: set[str]) -> list[str]:
    """The paragraphs of `section` that are not in `known`, which they are then added to."""
    new = []
    for paragraph in section.split("\n\n"):
        if paragraph.strip() and paragraph not in known:
            known.add(paragraph)
            new.append(paragraph)
    return new


def _parts(paragraphs: list[str]) -> Iterator[str]:
    """`paragraphs` joined to texts of at most MAX_CHARACTERS, as far as a single paragraph allows."""
    part = ""
    for paragraph in paragraphs:
        if part and len(part) + len(paragraph) > MAX_CHARACTERS:
            yield part.strip()
            part = ""
        part += f"\n\n{paragraph}" if part else paragraph
    if part:
        yield part.strip()
