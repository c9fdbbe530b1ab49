"""The plain steps that every corpus takes: text in one normal form, no scraps, nothing twice."""

from typing import Literal

import polars as pl
from pydantic import Field

from burnish.corpus.clean import normalize_unicode, normalize_whitespace
from burnish.corpus.deduplicate import content_hash
from burnish.corpus.preparation.steps.step import BatchStep, CorpusStep
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


class ExactDuplicates(CorpusStep):
    """Keep one of each set of documents that differ in case and white space only: that with the smallest id.

    A document of an earlier source stays before one of a later.
    """

    type: Literal["exact_duplicates"] = Field("exact_duplicates", description="exact_duplicates")

    def sign(self, batch: pl.DataFrame) -> pl.DataFrame:
        hashes = [content_hash(text) for text in batch["text"]]
        return pl.DataFrame({"content": pl.Series(hashes, dtype=pl.Binary), "origin": batch["origin"]})

    def decide(self, signatures: pl.LazyFrame) -> pl.DataFrame:
        ranked = signatures.sort("source_number", "id", "origin", "shard", "row")
        first = pl.col("id").first().over("content")
        return (
            ranked.with_columns(twin=first, place=pl.int_range(pl.len()).over("content"))
            .filter(pl.col("place") > 0)
            .select("shard", "row", reason=pl.lit("exact duplicate"), detail=pl.format("equal to {}", "twin"))
            .collect()
        )
