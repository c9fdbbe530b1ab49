"""Near duplicates by MinHash and locality-sensitive hashing (Broder 1997; Lee 2021, arXiv:2107.06499).

A text is its set of runs of `ngram` words. Of two texts whose sets have the Jaccard similarity s, each number of
their MinHash signatures agrees with probability s. A signature is cut into b bands of r numbers, and two texts are
called near duplicates if a band agrees: with probability 1 − (1 − s^r)^b, a step at about (1/b)^(1/r). Texts that are
joined by such pairs, also through others, are a cluster, of which one stays.

Notable choices:
- b and r are those that miss and wrongly find the fewest around `threshold`, unless they are given;
- a band is kept as one number of 64 bits: two bands that differ agree by chance once in 10^19.
"""

from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from burnish.corpus.preparation.steps.runs import runs, words_of
from burnish.corpus.preparation.steps.spans import MIX, Hashes, mixed
from burnish.corpus.preparation.steps.units import UnitDuplicates
from burnish.errors import BurnishError


class MinHash(UnitDuplicates):
    """Of documents, paragraphs or sentences that are nearly equal keep one: of the earliest source, the smallest id."""

    libraries: ClassVar[tuple[str, ...]] = ("rensa",)

    type: Literal["minhash"] = Field("minhash", description="minhash")
    threshold: float = Field(0.9, gt=0, le=1, description="Jaccard similarity from which texts should be found")
    ngram: int = Field(5, ge=1, description="words of a run; texts are compared as sets of runs")
    permutations: int = Field(128, ge=1, le=4096, description="numbers of a signature; more find the threshold better")
    bands: int | None = Field(
        None, ge=1, description="bands of a signature, with `rows`; chosen from threshold if left out"
    )
    rows: int | None = Field(None, ge=1, description="numbers of a band, with `bands`")
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

    @property
    def words(self) -> tuple[str, str]:
        return "near duplicate", "like {}"

    def keys(self, texts: pl.Series) -> pl.Series:
        """A list of `bands` numbers for each text; null for one without words."""
        digests, found = signatures(texts, self.ngram, self.permutations, self.seed)
        n_bands, n_rows = self.banding
        numbers = digests[:, : n_bands * n_rows].reshape(len(digests), n_bands, n_rows)
        chain = np.broadcast_to(np.arange(1, n_bands + 1, dtype=np.uint64) * MIX, numbers.shape[:2]).copy()
        for row in range(n_rows):
            chain = mixed(chain ^ numbers[:, :, row])
        lists = pl.Series("bands", chain).cast(pl.List(pl.UInt64))
        return lists.set(pl.Series(~found), None)


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
