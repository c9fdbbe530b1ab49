"""retrieve: rows with passages of an index before their question."""

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from burnish.errors import DataError
from burnish.files import atomic_write_text
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.retrieval import IndexedPassages
from burnish.recipes.schema.stage import (
    BASE_MODEL,
    FileReference,
    Metrics,
    ModelReference,
    ReferenceKind,
    StageConfig,
    StageContext,
)

if TYPE_CHECKING:
    from burnish.datasets.rows import DataRow

Made = TypeVar("Made")
RETRIEVED_FILE = "retrieved.jsonl"


class RetrieveStage(IndexedPassages, StageConfig):
    """Writes `retrieved.jsonl`: the rows of a file, a share of them with what an index has about their question.

    Conversations with `messages` for sft, so that a model learns to answer from passages; tasks with a `prompt` for
    sample, grpo and the like, so that it is asked with them.
    """

    type: Literal["retrieve"] = Field("retrieve", description="retrieve")
    data: FileReference = Field(description="rows with `messages` or `prompt`")
    share: float = Field(
        1.0, gt=0, le=1, description="share of the rows that get passages; the others stay as they are, or go"
    )
    others: bool = Field(True, description="whether rows without passages are written too")
    max_rows: int | None = Field(None, ge=1, description="only so many of the rows with passages, the first ones")
    model: ModelReference = Field(BASE_MODEL, description="model whose tokens `passage_tokens` counts")

    produces: ClassVar[dict[ReferenceKind, str]] = {"file": RETRIEVED_FILE}
    seeded: ClassVar[bool] = False

    def check(self, context: StageContext) -> None:
        from burnish.retrieval.rows import question

        for row in self._rows(context):
            _named(row, partial(question, row.value))

    def work(self, context: StageContext) -> Work | None:
        return Work()

    def run(self, context: StageContext) -> Metrics:
        from burnish.retrieval.rows import with_passages

        rows = self._rows(context)
        tokenizer = context.load_tokenizer(self.model)
        passages = self.opened(context.path(self.index), device=context.device, compute_dtype=context.compute_dtype)
        count = partial(_tokens, tokenizer)
        written: list[dict[str, Any]] = []
        found: list[int] = []
        with context.display.bar("retrieve", len(rows), "rows") as bar:
            for number, row in enumerate(rows, start=1):
                full = self.max_rows is not None and len(found) >= self.max_rows
                ask = partial(with_passages, row.value, passages, count, self.share)
                made, hits = (row.value, None) if full else _named(row, ask)
                if hits is not None:
                    found.append(hits)
                if hits is not None or self.others:
                    written.append(made)
                bar.update(number)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in written)
        atomic_write_text(context.folder / RETRIEVED_FILE, lines)
        without = found.count(0)
        context.display.say(
            f"  {len(found):,} of {len(rows):,} rows with {sum(found) / max(1, len(found)):.1f} passages each"
            f"{f'; for {without:,} nothing was found that has room' if without else ''}; {len(written):,} written"
        )
        return {"rows": len(written), "with_passages": len(found), "passages": sum(found), "nothing_found": without}

    def _rows(self, context: StageContext) -> "list[DataRow]":
        from burnish.datasets.rows import read_rows

        return [row for path in context.paths(self.data) for row in read_rows(path)]


def _named(row: "DataRow", made: Callable[[], Made]) -> Made:
    """What is made of a row; what is wrong with it names its file and line."""
    try:
        return made()
    except DataError as error:
        raise DataError(f"{row.file}:{row.line}: {error}") from error


def _tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer.encode(text))
