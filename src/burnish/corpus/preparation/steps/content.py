"""Documents that must not be in a corpus, by lists of words: pornographic, hateful, or offers of what is illegal.

C4 removed every page with one word of a list (Raffel 2020, section 2.2), and with them medical texts, law and what
minorities write about themselves (Dodge 2021, arXiv:2104.08758, section 5.2). So here several different entries of a
category must be there, in some proportion to the text: a page that is about the matter has them, one that mentions it
does not.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import polars as pl
import yaml
from pydantic import Field

from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome, remove
from burnish.errors import DataError

SHIPPED = Path(__file__).with_name("content_words.yaml")


class ContentFilter(BatchStep):
    """Remove documents with words of a category: of lists that the user gives, or of the small one that ships."""

    type: Literal["content_filter"] = Field("content_filter", description="content_filter")
    files: list[str] = Field(
        [],
        description="lists of one word or phrase a line, a category each, named as the file is; the shipped ones if []",
    )
    categories: list[str] = Field([], description="categories to remove; all that the lists have if []")
    min_different: int = Field(3, ge=1, description="how many different words of a category a document has")
    min_share: float = Field(0.005, ge=0, le=1, description="smallest share of its words that they are")

    def inputs(self) -> list[str]:
        return self.files

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        lists = self._lists()
        words = batch["text"].str.count_matches(r"\S+")
        lower = pl.DataFrame({"text": batch["text"].str.to_lowercase()})
        reason = pl.Series("reason", [None] * batch.height, dtype=pl.String)
        detail = pl.Series("detail", [None] * batch.height, dtype=pl.String)
        for category, pattern in lists.items():
            found = lower.select(pl.col("text").str.extract_all(pattern).list.eval(pl.element().str.strip_chars()))[
                "text"
            ]
            total, different = found.list.len(), found.list.n_unique()
            hit = (different >= self.min_different) & (total >= words * self.min_share) & reason.is_null()
            said = pl.select(pl.format("{} different of {} words", different, total)).to_series()
            reason = reason.set(hit, category)
            detail = detail.zip_with(~hit, said)
        return remove(batch, reason, detail)

    def _lists(self) -> dict[str, str]:
        paths = tuple(self.path(name) for name in self.files)
        states = tuple(path.stat().st_mtime_ns if path.exists() else None for path in paths)
        lists = _patterns(paths, states)
        if unknown := [name for name in self.categories if name not in lists]:
            raise DataError(f"content_filter: no list is called {unknown[0]!r}; there are {', '.join(lists)}")
        return {name: lists[name] for name in self.categories or lists}


@lru_cache(maxsize=4)
def _patterns(paths: tuple[Path, ...], states: tuple[int | None, ...]) -> dict[str, str]:
    """An expression for each category. states: when the files were written, so that one that changes is read again."""
    if paths:
        lists = {path.stem: _entries(path) for path in paths}
    else:
        lists = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return {name: _pattern(entries) for name, entries in lists.items()}


def _entries(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of words: {error}") from error
    entries = [line.strip().lower() for line in lines if line.strip() and not line.startswith("#")]
    if not entries:
        raise DataError(f"{path}: there is no word in it; write one word or phrase a line")
    return entries


def _pattern(entries: list[str]) -> str:
    """Any of the entries as words of their own; in scripts without spaces, wherever they are."""
    escaped = []
    for entry in sorted(entries, key=len, reverse=True):
        inner = r"\s+".join("".join(f"\\{one}" if not one.isalnum() else one for one in word) for word in entry.split())
        escaped.append(rf"\b{inner}\b" if entry.isascii() or " " in entry or not _without_spaces(entry) else inner)
    return "|".join(escaped)


def _without_spaces(entry: str) -> bool:
    return any("\u3040" <= one <= "\u9fff" or "\u0e00" <= one <= "\u0e7f" for one in entry)
