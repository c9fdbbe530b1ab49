"""What a step of preparation is: settings with a name, and a function of a batch of documents.

Two kinds. A `BatchStep` looks at a batch alone. A `CorpusStep` must see all documents, such as deduplication: it makes
a small signature of each (in parallel, batch by batch), decides once over all signatures, and the decision is carried
out batch by batch again. So neither holds the texts of a whole corpus in memory.

Notable choices:
- what a step does depends on its settings and on the documents, never on how they are cut into batches and shards, on
  their order of arrival, or on the number of processes;
- a step does not count documents: the pipeline compares what went in with what came out.
"""

from abc import abstractmethod
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, PrivateAttr

from burnish.corpus.preparation.table import Outcome, remove


class PreparationStep(BaseModel):
    """Base of the steps: their settings as one writes them. A subclass adds `type: Literal[name]` and its keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    secret: ClassVar[bool] = False
    """Whether it takes out what nobody may see: then neither it nor the steps before show a text of before."""

    libraries: ClassVar[tuple[str, ...]] = ()
    """Packages whose versions its result depends on: another version, and its shards are prepared again."""

    _folder: Path = PrivateAttr(Path())

    @property
    def name(self) -> str:
        """What statistics and files call it."""
        return str(getattr(self, "type"))  # noqa: B009

    def inputs(self) -> list[str]:
        """Files that its result depends on, such as a list of words, as the settings name them."""
        return []

    def located(self, folder: Path) -> Self:
        """The step, its files' names relative to a folder, wherever it then runs."""
        step = self.model_copy()
        step._folder = folder.absolute()
        return step

    def path(self, file: str) -> Path:
        """Where a file of `inputs` is."""
        return self._folder / file


class BatchStep(PreparationStep):
    """A step that looks at each batch alone."""

    @abstractmethod
    def __call__(self, batch: pl.DataFrame) -> Outcome:
        """The documents that stay, possibly changed or cut into several, and those that go, with the reason."""


class CorpusStep(PreparationStep):
    """A step that must see all documents."""

    @abstractmethod
    def sign(self, batch: pl.DataFrame) -> pl.DataFrame:
        """What the decision needs of each document, in the batch's order: a few numbers, never the text."""

    @abstractmethod
    def decide(self, signatures: pl.LazyFrame) -> pl.DataFrame:
        """What is to be done: `shard` and `row` of each document concerned, with whatever `carry_out` reads.

        signatures: what `sign` made of all documents, with `shard` and `row` (UInt32), which name a document, and its
        `id`, `source`, `source_number` and `origin`, in no order. A document to remove has a `reason` and a `detail`;
        of one that is like others `kept` and `member` are lists of ids: what stays, and what goes for it.
        """

    def carry_out(self, batch: pl.DataFrame, decided: pl.DataFrame) -> Outcome:
        """Apply the decisions on a batch. batch: with `row`; decided: about its shard, by `row`."""
        marked = batch.join(decided, on="row", how="left", maintain_order="left")
        return remove(batch, marked["reason"], marked["detail"])


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The versions of packages; None for one that is not installed."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found
