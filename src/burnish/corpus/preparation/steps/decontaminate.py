"""Decontamination: what stands in an evaluation file is not trained on (Brown 2020, arXiv:2005.14165, appendix C).

A document is contaminated if a run of `ngram` words of it stands in an evaluation text too. Words are runs of letters
and digits in lower case, so that punctuation and white space make no difference; a character of a script that sets no
spaces is a word of its own. An evaluation text of fewer words is one run of all of them. Under `cut` a document loses
the words that overlap and `margin` characters on both sides, and the pieces left are documents of their own.

Notable choices:
- an evaluation text of fewer than `min_words` words is not looked for: "Paris" stands in many documents that leak
  nothing. The paper's runs have 8 to 13 words;
- where margins end inside a word the word goes too;
- GPT-3 does not count runs that more than ten documents have. Here each one counts: raise `min_overlap` if an
  evaluation's own instructions stand in many documents.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from burnish.corpus.preparation.steps.runs import runs, runs_of_lengths, words_of
from burnish.corpus.preparation.steps.spans import Hashes, Numbers
from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome, remove
from burnish.corpus.records import read_rows
from burnish.errors import DataError

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]+"
_SEED = 1
_REASON, _MANY = "in an evaluation file", "in evaluation files at many places"


class Decontaminate(BatchStep):
    """Remove documents, or cut out of them, what stands in evaluation files."""

    type: Literal["decontaminate"] = Field("decontaminate", description="decontaminate")
    files: list[str] = Field(min_length=1, description="evaluation files: rows as JSON lines, JSON or Parquet")
    keys: list[str] | None = Field(
        None, min_length=1, description="keys of the rows whose texts are compared; all if left out"
    )
    ngram: int = Field(13, ge=1, description="words of a run that must not be in both")
    min_words: int = Field(8, ge=1, description="evaluation texts of fewer words are not compared")
    min_overlap: float = Field(
        0, ge=0, le=1, description="share of an evaluation text's runs that a document must have; 0: one run is enough"
    )
    action: Literal["remove", "cut"] = Field("remove", description="remove the document, or cut the words out of it")
    margin: int = Field(200, ge=0, description="characters that are cut on both sides of the words, with cut")
    min_characters: int = Field(200, ge=1, description="shorter pieces are dropped, with cut")
    max_pieces: int = Field(10, ge=1, description="documents that fall into more pieces are removed, with cut")

    @model_validator(mode="after")
    def _words_fit(self) -> "Decontaminate":
        if self.min_words > self.ngram:
            raise ValueError(f"min_words ({self.min_words}) is at most ngram ({self.ngram}): longer texts have runs")
        return self

    def inputs(self) -> list[str]:
        return self.files

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        found, count = words_of(batch["text"], _WORD)
        words = _normal(found)
        overlaps = self._overlaps(words, count)
        first = overlaps.group_by("document", maintain_order=True).first()
        details: list[str | None] = [None] * batch.height
        for document, start, length, place in first.select("document", "start", "length", "place").iter_rows():
            details[document] = f"{place}: {' '.join(words[start : start + length])}"
        detail = pl.Series("detail", details, pl.String)
        if self.action == "remove":
            return remove(batch, pl.select(pl.when(detail.is_not_null()).then(pl.lit(_REASON))).to_series(), detail)
        starts = np.concatenate([[0], np.cumsum(count)]).tolist()
        pieces: list[list[str] | None] = [None] * batch.height
        for document, begins, lengths in (
            overlaps.group_by("document", maintain_order=True).agg("start", "length").iter_rows()
        ):
            low, high = starts[document], starts[document + 1]
            spans = [(begin - low, begin - low + length) for begin, length in zip(begins, lengths, strict=True)]
            left = without(batch["text"][document], found[low:high].to_list(), spans, self.margin)
            pieces[document] = [piece for piece in left if len(piece) >= self.min_characters]
        return self._in_pieces(batch, pl.Series("_pieces", pieces, pl.List(pl.String)), detail)

    def _overlaps(self, words: pl.Series, count: Numbers) -> pl.DataFrame:
        """Runs of the documents that are in evaluation texts, in order: `document`, `start` and `length` in words,
        and the `place` of the evaluation text."""
        known = self._known()
        hashes = words.hash(seed=_SEED).to_numpy()
        document = np.repeat(np.arange(len(count)), count)
        hits = []
        for length, starts, numbers in runs_of_lengths(hashes, count, known.lengths):
            there = known.has(numbers)
            hit = {"document": document[starts[there]], "start": starts[there], "run": numbers[there]}
            hits.append(pl.DataFrame(hit).with_columns(length=pl.lit(length, pl.Int64)))
        if not hits:
            return pl.DataFrame(schema=dict.fromkeys(("document", "start", "length"), pl.Int64) | {"place": pl.String})
        share = pl.col("run").n_unique().over("document", "text") / pl.col("runs")
        return (
            pl.concat(hits)
            .join(known.table, on="run")
            .filter(share >= self.min_overlap)
            .sort("start", "text", "length")
        )

    def _in_pieces(self, batch: pl.DataFrame, pieces: pl.Series, detail: pl.Series) -> Outcome:
        n = pl.col("_pieces").list.len()
        reason = pl.when(n == 0).then(pl.lit(_REASON)).when(n > self.max_pieces).then(pl.lit(_MANY))
        marked = batch.with_columns(pieces)
        outcome = remove(marked, marked.select(reason).to_series(), detail)
        assert outcome.removed is not None
        return Outcome(_exploded(outcome.kept), outcome.removed.drop("_pieces"))

    def _known(self) -> "EvaluationRuns":
        files = []
        for name in self.files:
            path = self.path(name)
            state = path.stat() if path.exists() else None
            files.append((path, name, state and state.st_mtime_ns, state and state.st_size))
        keys = None if self.keys is None else tuple(self.keys)
        return _evaluation_runs(tuple(files), keys, self.ngram, self.min_words, self.min_overlap == 0)


def _exploded(kept: pl.DataFrame) -> pl.DataFrame:
    """Each piece a document of its own; of several, the id says which it is."""
    several = kept.with_columns(
        _pieces=pl.coalesce("_pieces", pl.concat_list("text")), _parts=pl.col("_pieces").list.len().fill_null(1)
    ).with_columns(_part=pl.int_ranges(1, pl.col("_parts") + 1))
    numbered = pl.format("{}#{}", "id", "_part")
    return (
        several.explode("_pieces", "_part")
        .with_columns(text=pl.col("_pieces"), id=pl.when(pl.col("_parts") > 1).then(numbered).otherwise("id"))
        .drop("_pieces", "_parts", "_part")
    )


def without(text: str, words: Sequence[str], spans: Sequence[tuple[int, int]], margin: int) -> list[str]:
    """What is left of a text of `words` without those of some spans, and `margin` characters on both sides of each.

    spans: first word and the one behind the last, in the order of the first. A cut ends before a word.
    """
    begins, ends = [], []
    place = 0
    for word in words:
        begins.append(text.index(word, place))
        place = begins[-1] + len(word)
        ends.append(place)
    pieces: list[str] = []
    low = 0
    for first, behind in spans:
        cut = begins[bisect_right(ends, begins[first] - margin)]
        if cut > low:
            pieces.append(text[low:cut].strip())
        next_word = bisect_left(begins, ends[behind - 1] + margin)
        low = max(low, begins[next_word] if next_word < len(words) else len(text))
    return [piece for piece in [*pieces, text[low:].strip()] if piece]


@dataclass(frozen=True)
class EvaluationRuns:
    """The runs of all evaluation texts.

    numbers: `[runs]`, sorted, each once. lengths: how many words they have. table: `run`; the number of a `text` that
    has it; how many different `runs` that has; and its `place`, file and line.
    """

    numbers: Hashes
    lengths: set[int]
    table: pl.DataFrame

    def has(self, numbers: Hashes) -> Any:
        """Whether each number is a run of an evaluation text, `[runs]`."""
        places = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return self.numbers[places] == numbers


@lru_cache(maxsize=4)
def _evaluation_runs(
    files: tuple[tuple[Path, str, int | None, int | None], ...],
    keys: tuple[str, ...] | None,
    ngram: int,
    min_words: int,
    one_is_enough: bool,
) -> EvaluationRuns:
    """Read evaluation files. files: each with its name, time and size, so that one that changes is read again.

    one_is_enough: only the first text that has a run is kept of those that have it.
    """
    tables, lengths = [], set()
    n_texts = 0
    for path, name, *_ in files:
        found = [(row.line, text) for row in read_rows(path) for text in _texts(row.value, keys)]
        words, count = words_of(pl.Series([text for _, text in found], dtype=pl.String), _WORD)
        if not (count >= min_words).any():
            under = "" if keys is None else f" under {', '.join(keys)}"
            raise DataError(
                f"{path}: no row has a text of {min_words} words or more{under}; name its `keys`, or lower `min_words`"
            )
        numbers, offsets = runs(_normal(words).hash(seed=_SEED).to_numpy(), count, ngram)
        text = np.repeat(np.arange(len(count)), (offsets[1:] - offsets[:-1]).astype(np.int64))
        long = count[text] >= min_words
        lengths |= set(np.minimum(count[count >= min_words], ngram).tolist())
        lines = np.array([line for line, _ in found], dtype=np.int64)
        tables.append(
            pl.DataFrame({"run": numbers[long], "text": text[long] + n_texts, "line": lines[text[long]]})
            .unique(["run", "text"], maintain_order=True)
            .with_columns(runs=pl.len().over("text"), place=pl.format("{}:{}", pl.lit(name), "line"))
            .drop("line")
        )
        n_texts += len(count)
    table = pl.concat(tables)
    if one_is_enough:
        table = table.unique("run", keep="first", maintain_order=True)
    return EvaluationRuns(table["run"].unique().sort().to_numpy(), lengths, table)


def _texts(value: Any, keys: tuple[str, ...] | None) -> Iterator[str]:
    """All texts in the values of a row, however deep, of some keys or of all."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, None)
    elif isinstance(value, dict):
        for key, item in value.items():
            if keys is None or key in keys:
                yield from _texts(item, None)


def _normal(words: pl.Series) -> pl.Series:
    """In lower case, and composed: where that may change something, for it takes as long as all else together."""
    lower = words.str.to_lowercase()
    foreign = (lower.str.len_bytes() > lower.str.len_chars()).arg_true()
    if not len(foreign):
        return lower
    return lower.scatter(foreign, lower.gather(foreign).str.normalize("NFC"))
