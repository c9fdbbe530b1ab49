"""What documents say, said again in other words: paraphrases to read beside them, without a teacher.

A model learns a fact of a text that it reads once or twice hardly at all, and in several wordings far better (Ovadia
2023, arXiv:2312.05934, section 6; Allen-Zhu 2023, arXiv:2309.14316). Said again is what the rules of extraction find:
a default, a cell of a table, a sentence; each in wordings of its own, in which no question is asked.

Notable choices:
- also of documents that are held out: that a model reads them and is taught no question about them is what their
  questions measure, and restating a text is reading it again;
- only short facts: of a whole definition its first sentence, from which a term is told;
- each time everything is said in another wording and in another order, so that no statement is learned by its
  neighbours.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from burnish.synthesis.rows import Pair, place

RESTATED_FILE = "restated.jsonl"
TIMES = 3
"""Wordings that every rule has at most."""


def restatements(pairs: Sequence[Pair], times: int) -> list[dict[str, Any]]:
    """Documents of statements, as rows with `id` and `text`: of each document of the pairs at most `times`.

    A fact with fewer wordings is said as often as it has some.
    """
    said: dict[tuple[int, str], dict[str, None]] = defaultdict(dict)
    for pair in pairs:
        wordings = pair.restated
        first = place("restated", pair.question)
        for turn in range(min(times, len(wordings))):
            said[turn, pair.source.document][wordings[(first + turn) % len(wordings)]] = None
    licences = {pair.source.document: pair.source.licence for pair in pairs}
    return [
        {
            "id": f"{document}, restated {turn + 1}",
            "text": "\n\n".join(sorted(statements, key=lambda one: place(turn, one))),
            **({} if licences[document] is None else {"licence": licences[document]}),
        }
        for (turn, document), statements in sorted(said.items())
    ]
