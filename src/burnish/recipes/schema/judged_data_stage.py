"""Rows that a training leaves out, and what its objective says of them before and after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import Metrics
from burnish.recipes.schema.training_stage import TrainingStage

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.nn.decoder import Decoder
    from burnish.objectives.objective import Objective


Row = TypeVar("Row")


class JudgedDataStage(Prompted, TrainingStage):
    """Base of the stages that learn from judged answers: pairs, ranked lists, single answers."""

    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    max_length: int = Field(2048, ge=2, description="longest prompt with its answer, in tokens")
    on_long: Literal["drop", "cut"] = Field("drop", description="what happens to longer rows")
    heldout: int = Field(0, ge=0, description="last rows of the data kept for measuring, before and after")

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


def split_last(rows: Sequence[Row], heldout: int, source: str) -> tuple[list[Row], list[Row]]:
    """The rows to train on, and the last `heldout` of them. Raises DataError where none is left to train on."""
    if heldout >= len(rows):
        raise DataError(f"{source}: heldout is {heldout}, but there are only {len(rows)} rows: lower it or add rows")
    return list(rows[: len(rows) - heldout]), list(rows[len(rows) - heldout :])


def objective_metrics(
    decoder: "Decoder", objective: "Objective[Tensor]", batches: "Sequence[Batch]"
) -> dict[str, float]:
    """The objective's loss and metrics over the batches, without training; nothing where there are none."""
    import torch

    from burnish.objectives.objective import measure

    decoder.eval()
    with torch.inference_mode():
        moved = (batch.to(decoder.device) for batch in batches)
        return measure(objective, ((batch, decoder.logps(batch.forest, batch.scored)) for batch in moved))


def comparison(before: dict[str, float], after: dict[str, float], n_rows: int) -> Metrics:
    """A stage's metrics of what it held out; nothing where it held out nothing."""
    return {"heldout": {"rows": n_rows, "before": before, "after": after}} if n_rows else {}
