"""Steps that look for texts that are there twice: whole documents, or their paragraphs, or their sentences.

A paragraph or sentence is only compared if it has some length: the next document may say "Thank you." too.
"""

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field

from burnish.corpus.preparation.steps.clusters import decisions, duplicates
from burnish.corpus.preparation.steps.step import CorpusStep
from burnish.corpus.preparation.table import Outcome, remove

Unit = Literal["document", "paragraph", "sentence"]

_PARTS = {
    "paragraph": re.compile(r".+?(?:\n\s*\n|\Z)", re.DOTALL),
    "sentence": re.compile(r".+?(?:[.?!。？！]+[\"')\]]*(?:\s+|\Z)|\n+|\Z)", re.DOTALL),
}


class UnitDuplicates(CorpusStep):
    """Base of the steps that keep one of texts that share a key."""

    unit: Unit = Field("document", description="what is compared: document, paragraph or sentence")
    min_words: int = Field(10, ge=1, description="paragraphs and sentences of fewer words are not compared")

    @abstractmethod
    def keys(self, texts: pl.Series) -> pl.Series:
        """The keys of each text, a list; null for one that is like nothing."""

    @property
    @abstractmethod
    def words(self) -> tuple[str, str]:
        """What a duplicate is called, and how it relates to the one that stays, with a place for its name."""

    def sign(self, batch: pl.DataFrame) -> pl.DataFrame:
        texts = batch["text"].to_list()
        units = [parts(text, self.unit) for text in texts]
        flat = pl.Series("text", [part for found in units for part in found], pl.String)
        keys = self.keys(flat)
        if self.unit != "document":
            keys = keys.set(flat.str.count_matches(r"\S+") < self.min_words, None)
        owner = np.repeat(np.arange(len(texts)), [len(found) for found in units])
        grouped = pl.DataFrame({"owner": owner, "units": keys}).group_by("owner", maintain_order=True).agg("units")
        signed = pl.DataFrame({"owner": np.arange(len(texts))}).join(
            grouped, on="owner", how="left", maintain_order="left"
        )
        return signed.select("units")

    def decide(self, signatures: pl.LazyFrame) -> pl.DataFrame:
        name, relation = self.words
        reason = name if self.unit == "document" else f"only {self.unit}s that are {name}s"
        return decisions(duplicates(signatures), reason, relation)

    def carry_out(self, batch: pl.DataFrame, decided: pl.DataFrame) -> Outcome:
        if self.unit == "document":
            return super().carry_out(batch, decided)
        marked = batch.join(decided, on="row", how="left", maintain_order="left")
        left = [
            text if drop is None else without(text, self.unit, drop)
            for text, drop in zip(marked["text"], marked["drop"].to_list(), strict=True)
        ]
        empty = pl.Series([not text.strip() for text in left]) & marked["drop"].is_not_null()
        reason = marked["reason"].set(~empty, None)
        outcome = remove(batch.with_columns(_left=pl.Series(left, dtype=pl.String)), reason, marked["detail"])
        assert outcome.removed is not None
        kept = outcome.kept.with_columns(text=pl.col("_left")).drop("_left")
        return Outcome(kept, outcome.removed.drop("_left"))


def parts(text: str, unit: Unit) -> list[str]:
    """The units of a text; joined they are the text."""
    return [text] if unit == "document" else _PARTS[unit].findall(text)


def without(text: str, unit: Unit, dropped: Sequence[int]) -> str:
    """The text without some of its units, by their numbers."""
    gone = set(dropped)
    return "".join(part for number, part in enumerate(parts(text, unit)) if number not in gone).strip()
