"""Documents scored by a classifier that the user trains: of quality, or of what must not be in the corpus."""

from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from burnish.corpus.documents import read_documents
from burnish.corpus.preparation.classifier import TextClassifier, train
from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome, remove


class Classifier(BatchStep):
    """Add a column of scores from 0, like the bad examples, to 1, like the good ones, and remove low scores."""

    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn",)

    type: Literal["classifier"] = Field("classifier", description="classifier")
    good: list[str] = Field([], description="files of documents as they should be, to learn from")
    bad: list[str] = Field([], description="files of documents as they should not be")
    model: str | None = Field(None, description="a classifier that was trained before, instead of good and bad")
    min_score: float = Field(0.5, ge=0, le=1, description="documents with a lower score are removed; 0 for none")
    column: str = Field("quality", pattern="^[a-z_]+$", description="name of the column of scores")
    reason: str = Field("low quality", min_length=1, description="what removed documents are counted as")

    @model_validator(mode="after")
    def _either(self) -> "Classifier":
        if (self.model is None) != (bool(self.good) and bool(self.bad)) or (self.model and (self.good or self.bad)):
            raise ValueError("give `good` and `bad`, files of examples, or a `model` that was trained from some")
        return self

    def inputs(self) -> list[str]:
        return [self.model] if self.model else [*self.good, *self.bad]

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        files = tuple((self.path(name), _state(self.path(name))) for name in self.inputs())
        model = _loaded(files) if self.model else _trained(files, len(self.good))
        scores = model.scores(batch["text"].to_list()).round(6)
        low = pl.Series([self.reason if score < self.min_score else None for score in scores], dtype=pl.String)
        detail = pl.select(pl.format("score {}", pl.Series(scores.round(4)))).to_series()
        return remove(batch.with_columns(pl.Series(self.column, scores, pl.Float64)), low, detail)


_File = tuple[Path, tuple[int, int] | None]
"""A file, and its time and size, so that one that changes is read again."""


def _state(path: Path) -> tuple[int, int] | None:
    state = path.stat() if path.exists() else None
    return state and (state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _loaded(files: tuple[_File, ...]) -> TextClassifier:
    return TextClassifier.load(files[0][0])


@lru_cache(maxsize=4)
def _trained(files: tuple[_File, ...], n_good: int) -> TextClassifier:
    paths = [path for path, _ in files]
    good, bad = ([one.text for one in read_documents(named)] for named in (paths[:n_good], paths[n_good:]))
    return train(good, bad)
