"""kto: Kahneman-Tversky optimization on single answers, desired or not; see `burnish.methods.kto`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.methods import kto
from burnish.recipes.schema.rows_stage import JudgedRowsStage
from burnish.recipes.schema.stage import FileReference, Metrics, StageContext

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Labelled
    from burnish.text.tokenizer import Tokenizer


class KtoStage(kto.Settings, JudgedRowsStage):
    """Makes desired answers likelier and the others less likely; the model that training starts from is the reference.

    Its log-probabilities are kept in the run's `cache/`, as those of `dpo`.
    """

    type: Literal["kto"] = Field("kto", description="kto")
    data: FileReference = Field(description="answers with a label: prompt, completion and label true or false, ...")

    def rows(self, context: StageContext) -> "list[Labelled]":
        from burnish.datasets.rows import read_labelled

        return self.with_system(context, read_labelled(context.paths(self.data), columns=self.columns))

    def check(self, context: StageContext) -> None:
        super().check(context)
        rows = self.rows(context)
        if (remark := kto.one_sided(self.trained_on(rows), rows)) is not None:
            context.warn(remark)

    def encode(self, rows: Sequence[Any], tokenizer: "Tokenizer") -> "tuple[list[Any], Report]":
        return kto.encode(rows, tokenizer, self)

    def passes_before(self) -> float:
        return 2 + 2 * self.training.epochs

    def run(self, context: StageContext) -> Metrics:
        model, tokenizer = context.load(self.model)
        return kto.train(model, tokenizer, self.rows(context), self, context, base=context.path(self.model))
