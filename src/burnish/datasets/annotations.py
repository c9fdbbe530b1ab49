"""What annotators said about the same items: rows of several files brought together, with what contradicts itself.

An item of a preference file is a prompt with two answers, whichever way round, and its label the chosen one. An item of
any other file is a row without the label, where the label's key is named.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.corpus.records import Problems, read_rows
from burnish.errors import DataError

LABEL_KEYS = ("label", "kto_tag", "correct", "rating", "score")
_NOT_THE_ITEM = ("task_type", "provenance", "reason", "detail", "chosen_score", "rejected_score", "id", "annotator")


@dataclass
class Annotations:
    """Of one file, the labels of each item, in the order of its rows. where: the lines of an item."""

    file: Path
    labels: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    where: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(map(len, self.labels.values()))

    @property
    def duplicates(self) -> list[str]:
        """Items that are there more than once with the same label."""
        return [item for item, labels in self.labels.items() if len(labels) > 1 and len(set(labels)) == 1]

    @property
    def contradictions(self) -> list[str]:
        """Items that have several labels."""
        return [item for item, labels in self.labels.items() if len(set(labels)) > 1]

    def lines(self, item: str) -> str:
        """Where an item stands, as an error or a report names it."""
        return f"{self.file}:" + ", ".join(map(str, self.where[item]))


def read_annotations(file: Path, *, key: str | None = None) -> Annotations:
    """The labels of a file. key: that of the label; without it a preference's chosen answer, or the first usual key.

    Raises DataError naming the rows that have none.
    """
    found, problems = Annotations(file), Problems()
    for row in read_rows(file, problems=problems):
        try:
            item, label = _annotation(row.value, key)
        except ValueError as error:
            problems.add(row.file, row.line, str(error))
            continue
        found.labels[item].append(label)
        found.where[item].append(row.line)
    problems.raise_if_any()
    if not found.labels:
        raise DataError(f"{file}: there is no row")
    return found


def _annotation(row: Mapping[str, Any], key: str | None) -> tuple[str, str]:
    if key is None and row.get("chosen") is not None and row.get("rejected") is not None:
        prompt = row.get("prompt", row.get("messages", row.get("conversations")))
        answers = sorted(_text(row[side]) for side in ("chosen", "rejected"))
        return _text([prompt, answers]), _text(row["chosen"])
    name = key if key is not None else next((one for one in LABEL_KEYS if row.get(one) is not None), None)
    if name is None or row.get(name) is None:
        wanted = f'"{name}"' if name is not None else f"chosen and rejected, or one of {', '.join(LABEL_KEYS)}"
        raise ValueError(f"has no label: expected {wanted}; the row has {', '.join(map(repr, row))}")
    rest = {one: value for one, value in row.items() if one not in (name, *LABEL_KEYS, *_NOT_THE_ITEM)}
    return _text(rest), _text(row[name])


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def together(annotations: Sequence[Annotations]) -> tuple[list[str], list[list[str]]]:
    """The items that all have labelled without contradicting themselves, and for each file their labels."""
    clean = [{item for item in one.labels if item not in set(one.contradictions)} for one in annotations]
    items = sorted(set.intersection(*clean))
    return items, [[one.labels[item][0] for item in items] for one in annotations]
