"""Gopher's rules of repetition (Rae 2021, arXiv:2112.11446, appendix A.1.2): lines, paragraphs and runs of words.

Notable choices:
- all words of a batch become numbers at once, and a run of n words the number of its pair (run of n - 1, word), so that
  equal runs have equal numbers without a hash that could collide, and texts are compared by arrays;
- which runs repeat what was said before is read from left to right and skips what it has counted, which no array
  operation does: only texts that could break the rule at all are read so, and they are few.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome, remove

Numbers = npt.NDArray[np.int64]


class GopherRepetition(BatchStep):
    """Remove documents that repeat themselves. A limit is a share of the text's characters, or of its lines."""

    type: Literal["gopher_repetition"] = Field("gopher_repetition", description="gopher_repetition")
    max_repeated_lines: float = Field(0.3, ge=0, description="largest share of lines that were there before")
    max_repeated_paragraphs: float = Field(0.3, ge=0, description="largest share of paragraphs that were there before")
    max_repeated_line_characters: float = Field(0.2, ge=0, description="largest share of characters in such lines")
    max_repeated_paragraph_characters: float = Field(
        0.2, ge=0, description="largest share of characters in such paragraphs"
    )
    max_top_ngrams: dict[int, float] = Field(
        {2: 0.20, 3: 0.18, 4: 0.16},
        description="n: largest share of characters in all occurrences of the most frequent run of n words",
    )
    max_repeated_ngrams: dict[int, float] = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10},
        description="n: largest share of characters in runs of n words that were there before",
    )

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        length = batch["text"].str.len_chars().to_numpy()
        broken = np.zeros(batch.height, dtype=np.int64)
        shares = np.zeros(batch.height)
        reasons: list[str] = []

        def rule(reason: str, share: npt.NDArray[np.float64], limit: float) -> None:
            reasons.append(reason)
            new = (share > limit) & (broken == 0)
            broken[new] = len(reasons)
            shares[new] = share[new]

        for name, separator, limit, limit_of_characters in (
            ("paragraphs", r"\n{2,}", self.max_repeated_paragraphs, self.max_repeated_paragraph_characters),
            ("lines", r"\n+", self.max_repeated_lines, self.max_repeated_line_characters),
        ):
            share, characters = _repeated_parts(batch["text"], separator)
            rule(f"repeated {name}", share, limit)
            rule(f"characters in repeated {name}", characters / np.maximum(length, 1), limit_of_characters)
        words = _Words(batch["text"])
        for n, limit in sorted(self.max_top_ngrams.items()):
            rule(f"most frequent {n}-gram", words.top(n) / np.maximum(length, 1), limit)
        for n, limit in sorted(self.max_repeated_ngrams.items()):
            rule(f"repeated {n}-grams", words.repeated(n, limit * length, broken == 0) / np.maximum(length, 1), limit)
        reason = [None if not number else reasons[number - 1] for number in broken.tolist()]
        detail = [None if not number else f"{share:.4f}" for number, share in zip(broken.tolist(), shares, strict=True)]
        return remove(batch, pl.Series("reason", reason, pl.String), pl.Series("detail", detail, pl.String))


def _repeated_parts(texts: pl.Series, separator: str) -> tuple[npt.NDArray[np.float64], Numbers]:
    """Of each text the share of its parts that were there before, and the characters in those."""
    marked = texts.str.strip_chars().str.replace_all(separator, "\x00")
    parts = pl.DataFrame({"text": pl.int_range(len(texts), eager=True), "part": marked.str.split("\x00")}).explode(
        "part"
    )
    again = pl.int_range(pl.len()).over("text", "part") > 0
    found = (
        parts.with_columns(again=again, length=pl.col("part").str.len_chars())
        .group_by("text", maintain_order=True)
        .agg(pl.col("again").mean(), characters=pl.col("length").filter("again").sum())
    )
    return found["again"].to_numpy(), found["characters"].to_numpy().astype(np.int64)


class _Words:
    """The words of several texts as numbers, one text behind the other.

    ids: `[words]`; texts: `[words]`, the number of each word's text; lengths: `[words]`, in characters.
    """

    def __init__(self, texts: pl.Series) -> None:
        words = pl.DataFrame(
            {"text": pl.int_range(len(texts), eager=True), "word": texts.str.extract_all(r"\S+")}
        ).explode("word")
        words = words.filter(pl.col("word").is_not_null())
        self.count = len(texts)
        self.texts: Numbers = words["text"].to_numpy().astype(np.int64)
        self.lengths: Numbers = words["word"].str.len_chars().to_numpy().astype(np.int64)
        self.ids: Numbers = words["word"].rank("dense").to_numpy().astype(np.int64)
        self.total = np.concatenate([[0], np.cumsum(self.lengths)])
        self._runs: dict[int, Numbers] = {1: self.ids}

    def runs(self, n: int) -> Numbers:
        """A number for each run of n words, by its first word; equal runs have equal numbers.

        `[words - n + 1]`; runs that reach from one text into the next are among them.
        """
        if n not in self._runs:
            shorter = self.runs(n - 1)[: max(len(self.ids) - n + 1, 0)]
            pairs = shorter * (int(self.ids.max(initial=0)) + 1) + self.ids[n - 1 :]
            self._runs[n] = pl.Series(pairs).rank("dense").to_numpy().astype(np.int64)
        return self._runs[n]

    def inside(self, n: int) -> npt.NDArray[np.bool_]:
        """Whether a run of n words lies in one text."""
        last = max(len(self.ids) - n + 1, 0)
        return np.asarray(self.texts[:last] == self.texts[n - 1 :][:last])

    def top(self, n: int) -> npt.NDArray[np.float64]:
        """Characters, spaces included, in all occurrences of each text's most frequent run of n words.

        Of several that are equally frequent the first one counts.
        """
        result = np.zeros(self.count)
        inside = self.inside(n)
        if not inside.any():
            return result
        first = np.arange(len(inside))[inside]
        frame = pl.DataFrame(
            {
                "text": self.texts[first],
                "run": self.runs(n)[inside],
                "length": self.total[first + n] - self.total[first] + n - 1,
                "place": first,
            }
        )
        best = (
            frame.group_by("text", "run")
            .agg(pl.len().alias("count"), pl.col("length").first(), pl.col("place").min())
            .sort("text", pl.col("count"), "place", descending=[False, True, False])
            .group_by("text", maintain_order=True)
            .first()
        )
        result[best["text"].to_numpy()] = (best["length"] * best["count"]).to_numpy()
        return result

    def repeated(
        self, n: int, limits: npt.NDArray[np.float64], wanted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """Characters, without spaces, in runs of n words that were there before, read from left to right.

        What has been counted is skipped. Texts that are not `wanted`, or stay below `limits` even if nothing is
        skipped, have 0.
        """
        result = np.zeros(self.count)
        inside = self.inside(n)
        if not inside.any():
            return result
        first = np.arange(len(inside))[inside]
        runs, texts = self.runs(n)[inside], self.texts[first]
        lengths = self.total[first + n] - self.total[first]
        frame = pl.DataFrame({"text": texts, "run": runs})
        again = frame.select(pl.int_range(pl.len()).over("text", "run") > 0).to_series().to_numpy()
        # Each character of a repeated run is counted once at most: words under any of them are an upper bound.
        covered = np.zeros(len(self.ids) + 1, dtype=np.int64)
        np.add.at(covered, first[again], 1)
        np.add.at(covered, first[again] + n, -1)
        under = np.cumsum(covered[:-1]) > 0
        bound = np.bincount(self.texts[under], weights=self.lengths[under], minlength=self.count)
        starts = np.searchsorted(texts, np.arange(self.count + 1))
        for text in np.flatnonzero((bound > limits) & wanted).tolist():
            low, high = int(starts[text]), int(starts[text + 1])
            result[text] = _read(runs[low:high].tolist(), lengths[low:high].tolist(), n)
        return result


def _read(runs: list[int], lengths: list[int], n: int) -> int:
    known: set[int] = set()
    total = place = 0
    while place < len(runs):
        if runs[place] in known:
            total += lengths[place]
            place += n
        else:
            known.add(runs[place])
            place += 1
    return total
