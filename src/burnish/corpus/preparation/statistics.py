"""What preparation tells about itself: statistics of each step, and what the documents are that were read and kept."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import polars as pl

EXAMPLES = 5
"""Removed and changed documents that the statistics of a step show."""
_SHOWN = 400
_AHEAD = 80

Texts = Literal["all", "after", "none"]
"""Which texts of a step's work may be shown: all, of changed documents those that the step made, or none."""


@dataclass
class StepRecord:
    """What a step did. seconds: of all processes together. removed, changed: examples, the same in every run.

    counts: what the step found, by kind. texts: which texts may be shown.
    """

    step: str
    documents_in: int = 0
    documents_out: int = 0
    characters_in: int = 0
    characters_out: int = 0
    n_changed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    removed: list[dict[str, str]] = field(default_factory=list)
    changed: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    texts: Texts = "all"

    def add(self, other: "StepRecord") -> None:
        """Take in what the step did elsewhere."""
        for name in ("documents_in", "documents_out", "characters_in", "characters_out", "n_changed", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons = summed(self.reasons, other.reasons)
        self.counts = summed(self.counts, other.counts)
        self.removed = examples([*self.removed, *other.removed])
        self.changed = examples([*self.changed, *other.changed])


@dataclass
class Composition:
    """What some documents are: how many of each source, language and length, and their characters by source.

    lengths: by the power of two that the characters do not exceed, as text, since JSON has no other keys.
    encodings: of text files that are not UTF-8, how many are in which.
    """

    sources: dict[str, int] = field(default_factory=dict)
    characters: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    encodings: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Composition") -> None:
        """Take in other documents."""
        for name in ("sources", "characters", "languages", "lengths", "encodings"):
            setattr(self, name, summed(getattr(self, name), getattr(other, name)))

    def count(self, batch: pl.DataFrame) -> None:
        """Take in the documents of a batch."""
        lengths = batch["text"].str.len_chars().to_list()
        sources = batch["source"].to_list()
        characters: Counter[str] = Counter()
        for source, length in zip(sources, lengths, strict=True):
            characters[source] += length
        languages = batch["language"].fill_null("none").to_list() if "language" in batch.columns else []
        powers = Counter(str(1 << (max(length, 1) - 1).bit_length()) for length in lengths)
        self.add(Composition(dict(Counter(sources)), dict(characters), dict(Counter(languages)), dict(powers)))


@dataclass(frozen=True)
class TokenCounter:
    """A tokenizer by its name, and how many tokens each of some texts has."""

    name: str
    count: Callable[[list[str]], list[int]]

    @classmethod
    def of(cls, model: Path) -> "TokenCounter":
        """That of a model, a folder or a .gguf file."""
        from burnish.checkpoints.facts import (
            load_tokenizer,  # not for each process that works on shards: it needs torch
        )

        tokenizer = load_tokenizer(model)
        return cls(model.name, lambda texts: [len(tokenizer.encode(text)) for text in texts])


@dataclass
class PreparationRecord:
    """What `prepare` did: statistics of reading and of every step in turn, and the files that were not read.

    tokenizer, characters_per_token: whose tokens, and how long they are in a sample of the kept documents.
    clusters: of each step that found duplicates the largest clusters: what stayed, and how many were like it.
    """

    steps: list[StepRecord]
    skipped: list[dict[str, str]]
    settings: dict[str, Any]
    n_shards: int = 0
    n_reused: int = 0
    tokenizer: str | None = None
    characters_per_token: float | None = None
    read: Composition = field(default_factory=Composition)
    kept: Composition = field(default_factory=Composition)
    clusters: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """How many are kept."""
        return self.steps[-1].documents_out


def shown(frame: pl.DataFrame, *columns: str) -> list[dict[str, str]]:
    """The rows that are examples, their texts shortened."""
    first = frame.sort("hash", "origin").head(EXAMPLES)
    return first.select("hash", "origin", *(pl.col(column).str.slice(0, _SHOWN) for column in columns)).to_dicts()


def shown_changes(pairs: pl.DataFrame, texts: Texts) -> list[dict[str, str]]:
    """Of changed documents those that are examples, `before` and `after`, from shortly ahead of the first change."""
    found = []
    for one in pairs.sort("hash", "origin").head(EXAMPLES).to_dicts():
        same = takewhile(lambda pair: pair[0] == pair[1], zip(one["before"], one["after"], strict=False))
        start = max(sum(1 for _ in same) - _AHEAD, 0)
        after = {"after": one["after"][start : start + _SHOWN]}
        before = {"before": one["before"][start : start + _SHOWN]} if texts == "all" else {}
        found.append({"hash": one["hash"], "origin": one["origin"], **before, **after})
    return found


def examples(found: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those of several examples that are shown, whatever their order."""
    return sorted(found, key=lambda one: (one["hash"], one["origin"]))[:EXAMPLES]


def summed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Counts of both, the largest first; equal ones by name, so that the order of shards does not show."""
    return dict(sorted((Counter(one) + Counter(other)).items(), key=lambda item: (-item[1], item[0])))
