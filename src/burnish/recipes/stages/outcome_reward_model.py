"""outcome_reward_model: how probably an answer is right; see `burnish.methods.outcome_reward_model`."""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.methods import outcome_reward_model, process_reward_model
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.rows_stage import JudgedRowsStage
from burnish.recipes.schema.stage import FileReference, Metrics, ReferenceKind, StageContext
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Labelled
    from burnish.text.tokenizer import Tokenizer


class OutcomeRewardModelStage(outcome_reward_model.Settings, JudgedRowsStage):
    """Learns which answers are right, on answers with a label.

    The product is `model/`, a reward model whose score is the log-odds of being right, which transformers loads as
    `AutoModelForSequenceClassification`, with LoRA's adapters merged into it. Whatever takes a reward model takes it.
    """

    type: Literal["outcome_reward_model"] = Field("outcome_reward_model", description="outcome_reward_model")
    data: FileReference = Field(
        description="answers with a label (prompt, completion, label); for example @step_labels/outcomes.jsonl"
    )
    heldout_data: FileReference | None = Field(None, description="a file to measure on instead")

    produces: ClassVar[dict[ReferenceKind, str]] = {"reward_model": MODEL_FOLDER}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.heldout and self.heldout_data is not None:
            yield ("heldout",), f"got {self.heldout} besides heldout_data, which is measured on instead: remove one"

    def check(self, context: StageContext) -> None:
        super().check(context)
        if self.heldout_data is not None:
            self._read(context, self.heldout_data)

    def rows(self, context: StageContext) -> "list[Labelled]":
        return self._read(context, self.data)

    def _read(self, context: StageContext, reference: str) -> "list[Labelled]":
        from burnish.datasets.rows import read_labelled

        return self.with_system(context, read_labelled(context.paths(reference), columns=self.columns))

    def encode(self, rows: Sequence[Any], tokenizer: "Tokenizer") -> "tuple[list[Any], Report]":
        return outcome_reward_model.encode(rows, tokenizer, self)

    def groups(self, examples: Sequence[Any]) -> Sequence[Hashable]:
        return process_reward_model.groups(examples, self)

    def run(self, context: StageContext) -> Metrics:
        decoder, tokenizer = context.load(self.model)
        heldout = None if self.heldout_data is None else self._read(context, self.heldout_data)
        return outcome_reward_model.train(
            decoder, tokenizer, self.rows(context), self, context, heldout_answers=heldout
        )
