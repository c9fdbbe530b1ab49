"""What the stages that learn from rows of a file have in common: columns, checks, and what they cost.

Each says how its rows are read; its method says how they are encoded.
"""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from burnish.errors import DataError
from burnish.methods.settings import JudgedSettings, source
from burnish.methods.training import check_steps
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import Metrics, StageContext
from burnish.recipes.schema.training_stage import TrainingStage

if TYPE_CHECKING:
    from burnish.datasets.report import Report
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer


class RowsStage(Prompted, TrainingStage):
    """Base of the stages that learn from conversations or from answers."""

    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")

    @abstractmethod
    def rows(self, context: StageContext) -> list[Any]:
        """The data, each row with its system prompt."""

    @abstractmethod
    def encode(self, rows: Sequence[Any], tokenizer: "Tokenizer") -> "tuple[list[Any], Report]":
        """Rows as tokens, and what became of them, as the method does it."""

    def tokenizer(self, context: StageContext, tokenizer: "Tokenizer") -> "Tokenizer":
        """The tokenizer that rows are written by, from the model's."""
        return tokenizer

    def trained_on(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The rows that are not held out, as far as that is known of rows."""
        return rows

    def learned_from(self, rows: Sequence[Any]) -> int:
        """How many examples at most the rows that are trained on become."""
        return len(self.trained_on(rows))

    def sequences(self, example: Any) -> list[list[int]]:
        """The token sequences of an encoded row."""
        found: list[list[int]] = example.sequences
        return found

    def groups(self, examples: Sequence[Any]) -> Sequence[Hashable] | None:
        """The group of each encoded row, where steps keep groups together."""
        return None

    def passes_before(self) -> float:
        """How often each row is scored besides being trained on."""
        return 0.0

    def check(self, context: StageContext) -> None:
        refuse_empty(context)
        rows = self.rows(context)
        check_steps(self.learned_from(rows), self.training, source(rows))

        def encode(first: Sequence[Any], model: "Tokenizer") -> None:
            tokenizer = self.tokenizer(context, model)
            if not self.encode(first, tokenizer)[0]:
                kept, report = self.encode(rows, tokenizer)
                if not kept:
                    remedy = f"; raise max_length ({limit})" if (limit := getattr(self, "max_length", None)) else ""
                    raise DataError(f"{source(rows)}: no usable row{remedy}:\n{report.summary()}")

        context.probe(encode, rows, str(self.model))

    def work(self, context: StageContext) -> "Work | None":
        tokenizer = context.tokenizer(str(self.model))
        if tokenizer is None:
            return None
        examples, _ = self.encode(self.trained_on(self.rows(context)), self.tokenizer(context, tokenizer))
        units = [self.sequences(example) for example in examples]
        groups = self.groups(examples)
        return self.training_work(context, units, passes_before=self.passes_before(), groups=groups)


def refuse_empty(context: StageContext) -> None:
    """Raise DataError for a file of rows that an earlier stage has made without finding any."""
    for written, paths in context.inputs.items():
        for path in paths if written.startswith("@") else ():
            if path.suffix == ".jsonl" and path.is_file() and not path.stat().st_size:
                raise DataError(
                    f"'{written}' is empty: the stage found no row to write to {path}, and said why when it ran; pairs "
                    "of a stage of type sample need answers of different worth: raise its `samples`, `temperature` or "
                    "`max_new_tokens`, or train the model that answers longer"
                )


class JudgedRowsStage(JudgedSettings, RowsStage):
    """Base of the stages that learn from judged answers: pairs, ranked lists, single answers."""

    def trained_on(self, rows: Sequence[Any]) -> Sequence[Any]:
        return self.split(rows)[0]

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        """The figures of the held-out rows; a table, such as that of calibration, stays in `stage.json`."""
        if "heldout" not in metrics:
            return {}
        found = {
            name: {key: value for key, value in part.items() if not isinstance(value, list)}
            if isinstance(part, dict)
            else part
            for name, part in metrics["heldout"].items()
        }
        return {"heldout": {self.name or self.type_name(): found}}
