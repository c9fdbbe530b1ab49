"""Near duplicates by MinHash and locality-sensitive hashing (Broder 1997; Lee 2021, arXiv:2107.06499).

A text is its set of runs of `ngram` words. Of two texts whose sets have the Jaccard similarity s, each number of
their MinHash signatures agrees with probability s. A signature is cut into b bands of r numbers, and two texts are
called near duplicates if a band agrees: with probability 1 − (1 − s^r)^b, a step at about (1/b)^(1/r). Texts that are
joined by such pairs, also through others, are a cluster, of which one stays.

Notable choices:
- b and r are those that miss and wrongly find the fewest around `threshold`, unless they are given;
- a band is kept as one number of 64 bits: two bands that differ agree by chance once in 10^19;
- paragraphs and sentences are units as documents are, but only those of some length: the next document may say
  "Thank you." too.
"""

import re
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from burnish.corpus.preparation.steps.runs import MIX, Hashes, mixed, runs, words_of
from burnish.corpus.preparation.steps.step import CorpusStep
from burnish.corpus.preparation.table import Outcome, remove
from burnish.errors import BurnishError

Unit = Literal["document", "paragraph", "sentence"]

_PARTS = {
    "paragraph": re.compile(r".+?(?:\n\s*\n|\Z)", re.DOTALL),
    "sentence": re.compile(r".+?(?:[.?!。？！]+[\"')\]]*(?:\s+|\Z)|\n+|\Z)", re.DOTALL),
}


class MinHash(CorpusStep):
    """Of documents, paragraphs or sentences that are nearly equal keep one: of the earliest source, the smallest id."""

    type: Literal["minhash"] = Field("minhash", description="minhash")
    unit: Unit = Field("document", description="what is compared: document, paragraph or sentence")
    threshold: float = Field(0.9, gt=0, le=1, description="Jaccard similarity from which texts should be found")
    ngram: int = Field(5, ge=1, description="words of a run; texts are compared as sets of runs")
    permutations: int = Field(128, ge=1, le=4096, description="numbers of a signature; more find the threshold better")
    bands: int | None = Field(
        None, ge=1, description="bands of a signature, with `rows`; chosen from threshold if left out"
    )
    rows: int | None = Field(None, ge=1, description="numbers of a band, with `bands`")
    min_words: int = Field(10, ge=1, description="paragraphs and sentences of fewer words are not compared")
    seed: int = Field(1, ge=0, lt=2**32, description="of the permutations")

    @model_validator(mode="after")
    def _bands_fit(self) -> "MinHash":
        if (self.bands is None) != (self.rows is None):
            raise ValueError("bands and rows belong together: give both or none")
        if self.bands is not None and self.rows is not None and self.bands * self.rows > self.permutations:
            raise ValueError(f"{self.bands} bands of {self.rows} rows need {self.bands * self.rows} permutations")
        return self

    @property
    def banding(self) -> tuple[int, int]:
        """How many bands, and how many numbers each has."""
        if self.bands is not None and self.rows is not None:
            return self.bands, self.rows
        return best_banding(self.threshold, self.permutations)

    def sign(self, batch: pl.DataFrame) -> pl.DataFrame:
        texts = batch["text"].to_list()
        units = [_parts(text, self.unit) for text in texts]
        flat = pl.Series("text", [part for parts in units for part in parts], pl.String)
        bands = self.band_hashes(flat)
        if self.unit != "document":
            bands = bands.set(flat.str.count_matches(r"\S+") < self.min_words, None)
        owner = np.repeat(np.arange(len(texts)), [len(parts) for parts in units])
        grouped = pl.DataFrame({"owner": owner, "bands": bands}).group_by("owner", maintain_order=True).agg("bands")
        signed = pl.DataFrame({"owner": np.arange(len(texts))}).join(
            grouped, on="owner", how="left", maintain_order="left"
        )
        return pl.DataFrame({"units": signed["bands"], "origin": batch["origin"]})

    def band_hashes(self, texts: pl.Series) -> pl.Series:
        """A list of `bands` numbers for each text; null for one without words."""
        digests, found = signatures(texts, self.ngram, self.permutations, self.seed)
        n_bands, n_rows = self.banding
        numbers = digests[:, : n_bands * n_rows].reshape(len(digests), n_bands, n_rows)
        chain = np.broadcast_to(np.arange(1, n_bands + 1, dtype=np.uint64) * MIX, numbers.shape[:2]).copy()
        for row in range(n_rows):
            chain = mixed(chain ^ numbers[:, :, row])
        lists = pl.Series("bands", chain).cast(pl.List(pl.UInt64))
        return lists.set(pl.Series(~found), None)

    def decide(self, signatures: pl.LazyFrame) -> pl.DataFrame:
        units = (
            signatures.sort("source_number", "id", "origin", "shard", "row")
            .with_row_index("document")
            .with_columns(unit=pl.int_ranges(pl.col("units").list.len()))
            .explode("units", "unit")
            .with_row_index("rank")
            .collect()
        )
        bands = units.lazy().select("rank", band="units").explode("band").drop_nulls("band")
        edges = (
            bands.with_columns(first=pl.col("rank").min().over("band"))
            .filter(pl.col("first") != pl.col("rank"))
            .select("first", "rank")
            .unique()
            .collect()
        )
        root = components(units.height, edges["first"].to_numpy(), edges["rank"].to_numpy())
        twins = units.with_columns(root=root, kept=units["id"].gather(root)).filter(pl.col("root") != pl.col("rank"))
        detail = pl.format("like {}", "kept")
        if self.unit == "document":
            return twins.select("shard", "row", reason=pl.lit("near duplicate"), detail=detail)
        return twins.group_by("shard", "row").agg(
            drop=pl.col("unit").sort(),
            reason=pl.lit(f"only {self.unit}s that are near duplicates"),
            detail=detail.first(),
        )

    def carry_out(self, batch: pl.DataFrame, decisions: pl.DataFrame) -> Outcome:
        if self.unit == "document":
            return super().carry_out(batch, decisions)
        marked = batch.join(decisions, on="row", how="left", maintain_order="left")
        left = [
            text if drop is None else _without(text, self.unit, set(drop))
            for text, drop in zip(marked["text"], marked["drop"].to_list(), strict=True)
        ]
        empty = pl.Series([not text.strip() for text in left]) & marked["drop"].is_not_null()
        reason = marked["reason"].set(~empty, None)
        outcome = remove(batch.with_columns(_left=pl.Series(left, dtype=pl.String)), reason, marked["detail"])
        assert outcome.removed is not None
        kept = outcome.kept.with_columns(text=pl.col("_left")).drop("_left")
        return Outcome(kept, outcome.removed.drop("_left"))


def signatures(texts: pl.Series, ngram: int, permutations: int, seed: int) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """MinHash signatures `[texts, permutations]`, and whether each text has a word; others are not alike.

    A text of fewer than `ngram` words is one run of all of them.
    """
    try:
        from rensa import RMinHash
    except ImportError:
        raise BurnishError("minhash needs rensa; install it with `pip install 'burnish[data]'`") from None
    words, count = words_of(texts, r"\S+")
    tokens, offsets = runs(words.str.to_lowercase().hash(seed=seed).to_numpy(), count, ngram)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(tokens, offsets, permutations, seed)
    digests = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(texts), permutations)
    return digests, count > 0


@lru_cache
def best_banding(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and rows with the smallest sum of the areas where a pair is found below, and missed above the threshold."""
    s = (np.arange(1000) + 0.5) / 1000
    below = s < threshold
    best, chosen = np.inf, (1, 1)
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            found = 1 - (1 - s**rows) ** bands
            error = float(found[below].sum() + (1 - found[~below]).sum())
            if error < best:
                best, chosen = error, (bands, rows)
    return chosen


def components(n: int, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The smallest member of each node's connected component, `[n]`, of a graph with edges first[i] to second[i]."""
    root = np.arange(n)
    while True:
        before = root.copy()
        smallest = np.minimum(root[first], root[second])
        np.minimum.at(root, first, smallest)
        np.minimum.at(root, second, smallest)
        root = root[root]
        if np.array_equal(root, before):
            return root


def _parts(text: str, unit: Unit) -> list[str]:
    return [text] if unit == "document" else _PARTS[unit].findall(text)


def _without(text: str, unit: Unit, dropped: set[int]) -> str:
    return "".join(part for number, part in enumerate(_parts(text, unit)) if number not in dropped).strip()
