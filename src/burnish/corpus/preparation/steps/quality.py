"""Rules of quality as they were published: Gopher, C4 and FineWeb, every threshold a setting.

Words are runs of characters that are not white space, and sentences end in `.`, `?` or `!` before white space: what is
counted does not depend on a language's tokenizer. The rules were made for English web pages; text of other kinds, such
as tables, code and lists, is what they remove.
"""

from functools import reduce
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from burnish.corpus.preparation.steps.spans import Numbers, TextBytes, pieces
from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome, remove

_TEXT = pl.col("text")
_WORDS = _TEXT.str.count_matches(r"\S+")
_BULLETS = [mark.encode() for mark in "•●▪‣*-"]
_NEWLINE = 10
_TERMINAL = r"""[.?!"']$"""
_SEARCHED = 8
"""Words of a line that an expression looks for; of more they are counted."""
_CITATION = r"\[\d*\]|\[edit\]|\[citation needed\]"
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


class GopherQuality(BatchStep):
    """The rules of quality of Gopher (Rae 2021, arXiv:2112.11446, appendix A.1.1)."""

    type: Literal["gopher_quality"] = Field("gopher_quality", description="gopher_quality")
    min_words: int = Field(50, ge=0, description="fewest words")
    max_words: int = Field(100_000, ge=1, description="most words")
    min_mean_word_length: float = Field(3.0, ge=0, description="shortest mean length of a word, in characters")
    max_mean_word_length: float = Field(10.0, gt=0, description="longest mean length of a word, in characters")
    max_symbol_ratio: float = Field(0.1, ge=0, description="most hash signs, and most ellipses, for each word")
    max_bullet_lines: float = Field(0.9, ge=0, le=1, description="largest share of lines that begin with a bullet")
    max_ellipsis_lines: float = Field(0.3, ge=0, le=1, description="largest share of lines that end with an ellipsis")
    min_alphabetic_words: float = Field(0.8, ge=0, le=1, description="smallest share of words with a letter")
    min_stop_words: int = Field(2, ge=0, description="how many of the stop words must be there; 0 for other languages")
    stop_words: list[str] = Field(
        ["the", "be", "to", "of", "and", "that", "have", "with"], description="words of which a text has some"
    )

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        texts = batch["text"]
        parts = [_gopher_measures(found) for _, found in pieces(texts)]
        counted = pl.concat(parts) if parts else _gopher_measures(TextBytes(texts))
        words = pl.col("words")
        measured = counted.with_columns(stop_words=self._stop_words(texts)).select(
            words,
            "stop_words",
            mean_length=pl.col("characters") / words,
            hashes=texts.str.count_matches("#", literal=True) / words,
            ellipses=texts.str.count_matches(r"\.\.\.|…") / words,
            bullets=pl.col("bullets") / pl.col("lines"),
            open_lines=pl.col("open_lines") / pl.col("lines"),
            alphabetic=pl.col("alphabetic") / words,
        )
        return _first_broken(
            batch,
            measured,
            [
                ("too few words", pl.col("words") < self.min_words, "words"),
                ("too many words", pl.col("words") > self.max_words, "words"),
                ("short words", pl.col("mean_length") < self.min_mean_word_length, "mean_length"),
                ("long words", pl.col("mean_length") > self.max_mean_word_length, "mean_length"),
                ("too many hash signs", pl.col("hashes") > self.max_symbol_ratio, "hashes"),
                ("too many ellipses", pl.col("ellipses") > self.max_symbol_ratio, "ellipses"),
                ("too many bullets", pl.col("bullets") > self.max_bullet_lines, "bullets"),
                ("too many lines that break off", pl.col("open_lines") > self.max_ellipsis_lines, "open_lines"),
                ("too few alphabetic words", pl.col("alphabetic") < self.min_alphabetic_words, "alphabetic"),
                ("too few stop words", pl.col("stop_words") < self.min_stop_words, "stop_words"),
            ],
        )

    def _stop_words(self, texts: pl.Series) -> pl.Series:
        """How many of the stop words each text has, counted until there are enough.

        Of its own word each: a stop word inside another counts for nothing.
        """
        found = np.zeros(len(texts), np.uint32)
        for word in self.stop_words:
            few = np.flatnonzero(found < self.min_stop_words)
            found[few] += texts.gather(few).str.contains(rf"(?:^|\W){word}(?:\W|$)").fill_null(False).to_numpy()
        return pl.Series("stop_words", found)


def _gopher_measures(found: TextBytes) -> pl.DataFrame:
    """What Gopher's rules count in each text, but for words that are looked for."""
    words, n = found.words, found.count

    def of_text(chosen: npt.NDArray[Any]) -> Numbers:
        return np.bincount(words.texts[chosen], minlength=n)

    newlines = np.flatnonzero(found.buffer == _NEWLINE)
    line = np.searchsorted(newlines, words.starts)  # the number of each word's line; each text ends with a line end
    first, last = np.ones((2, len(words)), np.bool_)
    first[1:] = last[:-1] = line[1:] != line[:-1]
    starts = words.starts[first]
    bullet = reduce(
        np.logical_or,
        [found.is_at(mark, starts) & (words.ends[first] == starts + len(mark)) for mark in _BULLETS],
    )
    # A bullet is followed by white space of the same line.
    bullet &= found.buffer[words.ends[first]] != _NEWLINE
    ends = words.ends[last]
    broken_off = found.is_at(b"...", ends - 3) | found.is_at("…".encode(), ends - 3)
    return pl.DataFrame(
        {
            "words": found.n_words,
            "characters": np.bincount(words.texts, found.lengths(words), n),
            "lines": np.diff(np.searchsorted(newlines, found.offsets)),
            "bullets": of_text(np.flatnonzero(first)[bullet]),
            "open_lines": of_text(np.flatnonzero(last)[broken_off]),
            "alphabetic": of_text(found.with_letter(words)),
        }
    )


class C4Quality(BatchStep):
    """The rules of C4 (Raffel 2020, arXiv:1910.10683, section 2.2): lines that are no sentences go, then scraps.

    A document's lines without end punctuation, with few words or with the words of a banner are taken out; a document
    with few sentences left, placeholder text or braces is removed.
    """

    type: Literal["c4_quality"] = Field("c4_quality", description="c4_quality")
    min_words_per_line: int = Field(3, ge=0, description="lines with fewer words are taken out")
    max_word_length: int = Field(1000, ge=1, description="lines with a longer word are taken out")
    min_sentences: int = Field(5, ge=0, description="documents with fewer sentences are removed")
    terminal_punctuation: bool = Field(True, description="take out lines that do not end as a sentence does")
    citations: bool = Field(True, description="take out marks such as [1] and [edit]")
    javascript: bool = Field(True, description="take out lines with the word javascript")
    policies: bool = Field(True, description="take out lines about cookies, terms of use and privacy")
    lorem_ipsum: bool = Field(True, description="remove documents with placeholder text")
    curly_bracket: bool = Field(True, description="remove documents with a brace, which are mostly code")

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        numbered = batch.with_row_index("_number")
        lines = numbered.select("_number", line=_TEXT.str.split("\n")).explode("line")
        line = pl.col("line").str.strip_chars()
        if self.citations:
            line = line.str.replace_all(_CITATION, "")
        lines = lines.with_columns(line=line)
        # Line after line of rules, on what is left. In the order of the authors' code: a brace or placeholder text in a
        # line that is taken out before removes nothing (tensorflow_datasets, text/c4_utils.py).
        if self.terminal_punctuation:
            lines = lines.filter(pl.col("line").str.contains(_TERMINAL) & ~pl.col("line").str.ends_with("..."))
        if self.min_words_per_line:
            lines = lines.filter(
                pl.col("line").str.contains(r"\S+\s+" * min(self.min_words_per_line - 1, _SEARCHED) + r"\S")
            )
        if self.min_words_per_line > _SEARCHED + 1:
            lines = lines.filter(pl.col("line").str.count_matches(r"\S+") >= self.min_words_per_line)
        lines = _without_long_words(lines, self.max_word_length)
        small = pl.col("line").str.to_lowercase()
        lines = lines.with_columns(small=small, lorem=small.str.contains("lorem ipsum", literal=True))
        lorem = lines.filter("lorem")["_number"].unique()
        if self.javascript:
            lines = lines.filter(~pl.col("small").str.contains("javascript", literal=True))
        brace = lines.filter(pl.col("line").str.contains("{", literal=True))["_number"].unique()
        if self.policies:
            lines = lines.filter(~pl.col("small").str.contains_any(list(_POLICIES)))
        # Each line is a sentence at least, also one that ends with a quotation mark alone.
        sentences = pl.col("line").str.count_matches(r"""[.?!]["')\]]*(?:\s|$)""").clip(1)
        found = (
            lines.with_columns(sentences=sentences)
            .group_by("_number", maintain_order=True)
            .agg(pl.col("line").str.join("\n").alias("text"), pl.col("sentences").sum())
        )
        measured = (
            numbered.select("_number")
            .join(found, on="_number", how="left", maintain_order="left")
            .with_columns(
                pl.col("text").fill_null(""),
                pl.col("sentences").fill_null(0),
                lorem=pl.col("_number").is_in(lorem.implode()),
                brace=pl.col("_number").is_in(brace.implode()),
            )
        )
        changed = batch.with_columns(text=measured["text"])
        rules: list[tuple[str, pl.Expr, str | None]] = []
        if self.lorem_ipsum:
            rules.append(("placeholder text", pl.col("lorem"), None))
        if self.curly_bracket:
            rules.append(("curly bracket", pl.col("brace"), None))
        rules.append(("too few sentences", pl.col("sentences") < self.min_sentences, "sentences"))
        outcome = _first_broken(changed.with_columns(_before=batch["text"]), measured, rules)
        assert outcome.removed is not None
        removed = outcome.removed.with_columns(text=pl.col("_before")).drop("_before")
        return Outcome(outcome.kept.drop("_before"), removed)


def _without_long_words(lines: pl.DataFrame, max_length: int) -> pl.DataFrame:
    """The lines whose words all have so many characters at most; only lines that are as long are looked at."""
    line = pl.col("line")
    numbered = lines.with_row_index("_line")
    long = numbered.filter(line.str.len_bytes() > max_length)
    longest = line.str.extract_all(r"\S+").list.eval(pl.element().str.len_chars()).list.max()
    gone = long.filter(longest.fill_null(0) > max_length)["_line"]
    return numbered.filter(~pl.col("_line").is_in(gone.implode())).drop("_line") if len(gone) else lines


class FineWebQuality(BatchStep):
    """The further rules of FineWeb (Penedo 2024, arXiv:2406.17557, section 3.6) against lists and repeated lines."""

    type: Literal["fineweb_quality"] = Field("fineweb_quality", description="fineweb_quality")
    min_lines_with_end: float = Field(0.12, ge=0, le=1, description="smallest share of lines that end as a sentence")
    max_short_lines: float = Field(0.67, ge=0, le=1, description="largest share of lines of few characters")
    short_line: int = Field(30, ge=0, description="the most characters of a short line")
    max_repeated_characters: float = Field(
        0.01, ge=0, le=1, description="largest share of characters in repeated lines"
    )
    max_newlines: float = Field(0.3, ge=0, description="most line ends for each word")

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        numbered = batch.with_row_index("_number")
        lines = (
            numbered.select("_number", line=_TEXT.str.split("\n"))
            .explode("line")
            .filter(pl.col("line").str.strip_chars() != "")
            .with_columns(length=pl.col("line").str.len_chars())
            .with_columns(again=pl.int_range(pl.len()).over("_number", "line") > 0)
        )
        by_text = lines.group_by("_number").agg(
            ends=pl.col("line").str.contains(r"""[.?!"'”’…。！？]\s*$""").mean(),
            short=(pl.col("length") <= self.short_line).mean(),
            repeated=pl.col("length").filter("again").sum(),
        )
        measured = numbered.join(by_text, on="_number", how="left", maintain_order="left").select(
            pl.col("ends").fill_null(0.0),
            pl.col("short").fill_null(1.0),
            repeated=pl.col("repeated").fill_null(0) / (_TEXT.str.len_chars() - _TEXT.str.count_matches("\n")),
            newlines=_TEXT.str.count_matches("\n") / _WORDS,
        )
        return _first_broken(
            batch,
            measured,
            [
                ("lines that end like no sentence", pl.col("ends") < self.min_lines_with_end, "ends"),
                ("short lines", pl.col("short") > self.max_short_lines, "short"),
                ("repeated lines", pl.col("repeated") > self.max_repeated_characters, "repeated"),
                ("list of lines", pl.col("newlines") > self.max_newlines, "newlines"),
            ],
        )


def _first_broken(batch: pl.DataFrame, measured: pl.DataFrame, rules: list[tuple[str, pl.Expr, str | None]]) -> Outcome:
    """Remove the documents that break a rule: reason, when it is broken, the measure to show. The first one counts.

    What cannot be measured, such as a share of no words, breaks a rule.
    """
    reason, detail = pl.lit(None, pl.String), pl.lit(None, pl.String)
    for name, broken, shown in reversed(rules):
        is_broken = broken.fill_null(True)
        value = pl.lit(None, pl.String) if shown is None else pl.col(shown).cast(pl.Float64).round(4).cast(pl.String)
        reason = pl.when(is_broken).then(pl.lit(name)).otherwise(reason)
        detail = pl.when(is_broken).then(value).otherwise(detail)
    found = measured.select(reason=reason, detail=detail)
    return remove(batch, found["reason"], found["detail"])
