"""Many documents of real text: pages of C4, Wikipedia and Python's own reference, their sentences put together anew.

There are two megabytes of such text, and measurements want gigabytes. So a document is a run of paragraphs, and a
paragraph some sentences that follow each other in one of the texts; rules of quality meet real sentences, lists and
code, and two documents have no more in common than chance has it. Some are copies of an earlier one with a few words
exchanged.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.material import shared_file

COPIES = 0.08
"""Share of the documents that are nearly equal to one of the last thousand before them."""
EDITED = 0.005
"""Share of the words that are others in such a copy."""
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+|\n+")
_FILE_BYTES = 8 << 20


def paragraphs() -> list[str]:
    """Runs of one to four sentences, or lines, of all texts, one from each place."""
    from burnish.corpus.prose import stdlib_documents

    texts = [json.loads(line)["text"] for line in shared_file("c4_demo.jsonl").read_text(encoding="utf-8").splitlines()]
    texts += shared_file("wiki_demo.txt").read_text(encoding="utf-8").split("\n")
    texts += [document.text for document in stdlib_documents()]
    generator = Random(0)
    found = []
    for text in texts:
        sentences = [part for part in _SENTENCE_END.split(text) if part.strip()]
        for start in range(len(sentences)):
            found.append(" ".join(sentences[start : start + generator.randint(1, 4)]))
    return found


def documents(seed: int = 0) -> Iterator[tuple[str, str]]:
    """Ids and texts without end, the same for the same seed; `3~1` is the id of a copy of document 1."""
    parts = paragraphs()
    generator = Random(seed)
    recent: list[tuple[int, str]] = []
    number = 0
    while True:
        number += 1
        if recent and generator.random() < COPIES:
            original, text = generator.choice(recent)
            yield f"{number:09d}~{original}", edited(text, EDITED, generator)
            continue
        n = max(1, round(generator.lognormvariate(1.9, 0.8)))
        text = "\n".join(generator.choices(parts, k=n))
        recent.append((number, text))
        del recent[:-1000]
        yield f"{number:09d}", text


def edited(text: str, share: float, generator: Random) -> str:
    """The text with so many of its words, at least one, exchanged for others of its words."""
    words = re.split(r"(\s+)", text)
    places = [place for place in range(0, len(words), 2) if words[place]]
    for place in generator.sample(places, max(1, round(share * len(places)))):
        words[place] = words[generator.choice(places)] + "x"
    return "".join(words)


def write(folder: Path, *, n_documents: int | None = None, n_bytes: int | None = None) -> tuple[int, int]:
    """Write JSON lines until there are so many documents, or bytes; how many of both there are."""
    folder.mkdir(parents=True)
    count = size = size_of_file = 0
    file = None
    for name, text in documents():
        if count == n_documents or (n_bytes is not None and size >= n_bytes):
            break
        if file is None or size_of_file > _FILE_BYTES:
            if file is not None:
                file.close()
            file = (folder / f"{count:09d}.jsonl").open("w", encoding="utf-8")
            size_of_file = 0
        line = json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n"
        file.write(line)
        written = len(line.encode())
        count, size, size_of_file = count + 1, size + written, size_of_file + written
    if file is not None:
        file.close()
    return count, size
