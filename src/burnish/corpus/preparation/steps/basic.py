"""The plain steps that every corpus takes: text in one normal form, no scraps, nothing twice."""

from typing import Literal

import polars as pl
from pydantic import Field

from burnish.corpus.clean import normalize_unicode, normalize_whitespace
from burnish.corpus.deduplicate import content_hash
from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.steps.units import UnitDuplicates
from burnish.corpus.preparation.table import Outcome, remove


class Normalize(BatchStep):
    """Unicode in NFC without what is no text, newlines for line ends, plain spaces, one blank line at most."""

    type: Literal["normalize"] = Field("normalize", description="normalize")

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        texts = [normalize_whitespace(normalize_unicode(text)) for text in batch["text"]]
        return Outcome(batch.with_columns(pl.Series("text", texts, pl.String)))


class MinCharacters(BatchStep):
    """Remove documents that are too short to learn from."""

    type: Literal["min_characters"] = Field("min_characters", description="min_characters")
    characters: int = Field(50, ge=1, description="shorter documents are removed")

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        length = batch["text"].str.len_chars()
        short = pl.select(pl.when(length < self.characters).then(pl.lit("too short"))).to_series()
        return remove(batch, short, pl.select(pl.format("{} characters", length)).to_series())


class ExactDuplicates(UnitDuplicates):
    """Of documents, paragraphs or sentences that differ in case and white space only keep one.

    It is that of the earliest source, with the smallest id.
    """

    type: Literal["exact_duplicates"] = Field("exact_duplicates", description="exact_duplicates")

    @property
    def words(self) -> tuple[str, str]:
        return "exact duplicate", "equal to {}"

    def keys(self, texts: pl.Series) -> pl.Series:
        return pl.Series([[content_hash(text)] for text in texts], dtype=pl.List(pl.Binary))
