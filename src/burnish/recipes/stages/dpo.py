"""dpo: direct preference optimization and its family on pairs of answers; see `burnish.methods.dpo`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.methods import dpo
from burnish.recipes.schema.rows_stage import JudgedRowsStage
from burnish.recipes.schema.stage import Metrics, PreferencesReference, StageContext

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Preference
    from burnish.text.tokenizer import Tokenizer


class DpoStage(dpo.Settings, JudgedRowsStage):
    """Prefers the chosen answers; the model that training starts from is the reference, where the loss has one.

    The reference's log-probabilities are computed once and kept in the run's `cache/`, so that another `beta`, loss or
    learning rate finds them there.
    """

    type: Literal["dpo"] = Field("dpo", description="dpo")
    pairs: PreferencesReference = Field(description="preferences: prompt, chosen, rejected; for example @sample")

    def rows(self, context: StageContext) -> "list[Preference]":
        from burnish.datasets.rows import read_preferences

        return self.with_system(context, read_preferences(context.paths(self.pairs), columns=self.columns))

    def encode(self, rows: Sequence[Any], tokenizer: "Tokenizer") -> "tuple[list[Any], Report]":
        return dpo.encode(rows, tokenizer, self)

    def passes_before(self) -> float:
        return 1.0 if self.has_reference else 0.0

    def run(self, context: StageContext) -> Metrics:
        model, tokenizer = context.load(self.model)
        return dpo.train(model, tokenizer, self.rows(context), self, context, base=context.path(self.model))
