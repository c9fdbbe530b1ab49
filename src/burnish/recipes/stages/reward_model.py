"""reward_model: a scalar for prompt and answer, larger for what people prefer; see `burnish.methods.reward_model`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.methods import reward_model
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.rows_stage import JudgedRowsStage
from burnish.recipes.schema.stage import Metrics, PreferencesReference, ReferenceKind, StageContext
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Ranking
    from burnish.text.tokenizer import Tokenizer


class RewardModelStage(reward_model.Settings, JudgedRowsStage):
    """Learns which answers people prefer, on pairs or ranked lists.

    The product is `model/`, which transformers loads as `AutoModelForSequenceClassification`, with LoRA's adapters
    merged into it. It is no policy: stages that take a reward model refer to it.
    """

    type: Literal["reward_model"] = Field("reward_model", description="reward_model")
    pairs: PreferencesReference = Field(
        description="preferences (prompt, chosen, rejected) or ranked lists (prompt, responses); for example @sample"
    )
    heldout_pairs: PreferencesReference | None = Field(None, description="a file to measure on instead")

    produces: ClassVar[dict[ReferenceKind, str]] = {"reward_model": MODEL_FOLDER}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.heldout and self.heldout_pairs is not None:
            yield ("heldout",), f"got {self.heldout} besides heldout_pairs, which is measured on instead: remove one"

    def check(self, context: StageContext) -> None:
        super().check(context)
        if self.heldout_pairs is not None:
            self._read(context, self.heldout_pairs)

    def rows(self, context: StageContext) -> "list[Ranking]":
        rows = self._read(context, self.pairs)
        self.check_margins(rows)
        return rows

    def _read(self, context: StageContext, reference: str) -> "list[Ranking]":
        from burnish.datasets.rows import read_rankings

        return self.with_system(context, read_rankings(context.paths(reference), columns=self.columns))

    def encode(self, rows: Sequence[Any], tokenizer: "Tokenizer") -> "tuple[list[Any], Report]":
        return reward_model.encode(rows, tokenizer, self)

    def run(self, context: StageContext) -> Metrics:
        decoder, tokenizer = context.load(self.model)
        heldout = None if self.heldout_pairs is None else self._read(context, self.heldout_pairs)
        return reward_model.train(decoder, tokenizer, self.rows(context), self, context, heldout_rankings=heldout)
