"""General English prose that is on every machine: the language reference that Python carries for `help()`."""

import re
from collections.abc import Iterator
from pydoc_data.topics import topics

MIN_CHARACTERS = 200


def documents() -> Iterator[dict[str, object]]:
    """One document per section of the reference; sections, not topics, so that a held-out share is spread over all."""
    for topic, text in sorted(topics.items()):
        parts = re.split(r"\n(?=[^\n]+\n(?:\*{4,}|={4,}|-{4,})\n)", text.strip())
        for number, part in enumerate(parts):
            if len(part) >= MIN_CHARACTERS:
                yield {"id": f"python/{topic}/{number}", "text": part.strip(), "source": "general"}
