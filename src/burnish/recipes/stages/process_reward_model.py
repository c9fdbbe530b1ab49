"""process_reward_model: how probably each step of an answer is right; see `burnish.methods.process_reward_model`."""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.methods import process_reward_model
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.rows_stage import JudgedRowsStage
from burnish.recipes.schema.stage import FileReference, Metrics, ReferenceKind, StageContext
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.datasets.rows import Stepwise
    from burnish.text.tokenizer import Tokenizer


class ProcessRewardModelStage(process_reward_model.Settings, JudgedRowsStage):
    """Learns which steps of answers are right, on answers whose steps have labels.

    The product is `model/`, which transformers loads as `AutoModelForTokenClassification`, with LoRA's adapters merged
    into it. It is no policy: judges of the type `process_reward_model` refer to it.
    """

    type: Literal["process_reward_model"] = Field("process_reward_model", description="process_reward_model")
    data: FileReference = Field(
        description="answers in steps (prompt, completions, labels); for example @step_labels/steps.jsonl"
    )
    heldout_data: FileReference | None = Field(None, description="a file to measure on instead")

    produces: ClassVar[dict[ReferenceKind, str]] = {"process_reward_model": MODEL_FOLDER}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.heldout and self.heldout_data is not None:
            yield ("heldout",), f"got {self.heldout} besides heldout_data, which is measured on instead: remove one"

    def check(self, context: StageContext) -> None:
        super().check(context)
        if self.heldout_data is not None:
            self._read(context, self.heldout_data)

    def rows(self, context: StageContext) -> "list[Stepwise]":
        return self._read(context, self.data)

    def _read(self, context: StageContext, reference: str) -> "list[Stepwise]":
        from burnish.datasets.rows import read_stepwise

        return self.with_system(context, read_stepwise(context.paths(reference), columns=self.columns))

    def encode(self, rows: Sequence[Any], tokenizer: "Tokenizer") -> "tuple[list[Any], Report]":
        return process_reward_model.encode(rows, tokenizer, self)

    def groups(self, examples: Sequence[Any]) -> Sequence[Hashable]:
        return process_reward_model.groups(examples, self)

    def run(self, context: StageContext) -> Metrics:
        decoder, tokenizer = context.load(self.model)
        heldout = None if self.heldout_data is None else self._read(context, self.heldout_data)
        return process_reward_model.train(
            decoder, tokenizer, self.rows(context), self, context, heldout_answers=heldout
        )
