"""The language of documents, told offline, and those of other languages removed.

Notable choices:
- code and tables are not read: names and numbers look like any language. A document of them alone has no language;
- the threshold of 0.65 is FineWeb's (Penedo 2024, arXiv:2406.17557, section 3.3), whose classifier is another. A
  sentence of ten words is told with 0.99, and text half in another language with less.
"""

import re
from collections.abc import Callable
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from burnish.corpus.preparation.steps.markup import is_source_code, parts
from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome, remove
from burnish.text.languages import sure_identifier

_LETTER = re.compile(r"[^\W\d_]")


class Language(BatchStep):
    """Add the column `language`, by ISO 639, and remove documents of other languages than `keep`."""

    libraries: ClassVar[tuple[str, ...]] = ("py3langid",)

    type: Literal["language"] = Field("language", description="language")
    keep: list[str] | None = Field(
        None, min_length=1, description="languages whose documents stay, such as [en, de]; all if left out"
    )
    min_confidence: float = Field(0.65, ge=0, le=1, description="how sure a language must be to be told")
    among: list[str] = Field([], description="languages that can occur; all that are known if left out")
    keep_undetermined: bool = Field(True, description="keep documents without prose, such as source code")

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        wanted = self.keep or []
        sure_identifier(tuple(sorted({*wanted, *self.among})))  # says which of them it does not know
        tell = sure_identifier(tuple(sorted({*wanted, *self.among})) if self.among else ())
        languages: list[str | None] = []
        reasons: list[str | None] = []
        details: list[str | None] = []
        for text, origin in batch.select("text", "origin").iter_rows():
            found = _told(text, origin, tell)
            language = found[0] if found and found[1] >= self.min_confidence else None
            reason = None
            if found is None:
                reason = None if self.keep_undetermined else "no language"
            elif self.keep is not None and language not in self.keep:
                reason = "language not certain" if language is None else "another language"
            languages.append(language)
            reasons.append(reason)
            details.append(f"{found[0]}, confidence {found[1]:.2f}" if found else None)
        return remove(
            batch.with_columns(pl.Series("language", languages, pl.String)),
            pl.Series("reason", reasons, pl.String),
            pl.Series("detail", details, pl.String),
        )


def _told(text: str, origin: str, tell: Callable[[str], tuple[str, float]]) -> tuple[str, float] | None:
    """Language and confidence; None for a document without prose."""
    if is_source_code(origin):
        return None
    prose = " ".join(part for kind, part in parts(text) if kind == "prose")
    return tell(prose) if _LETTER.search(prose) else None
