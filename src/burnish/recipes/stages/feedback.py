"""feedback: what people said of a served model's answers, as rows to train on; see `burnish.methods.feedback`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.errors import BurnishError
from burnish.methods import feedback
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import FileReference, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.runs.names import PAIRS_FILE

if TYPE_CHECKING:
    from burnish.recipes.plan.work import Work


class FeedbackStage(feedback.Settings, StageConfig):
    """Reads what people said of a served model's answers, without what stands in tests and without personal data.

    Writes `pairs.jsonl` for dpo, `labelled.jsonl` for kto, `conversations.jsonl` for sft, and `heldout.jsonl`, pairs to
    measure by that no round trains on.
    """

    type: Literal["feedback"] = Field("feedback", description="feedback")
    store: str = Field(min_length=1, description="the file of answers and judgements, relative to the recipe")
    tests: list[FileReference] = Field([], description="files of tasks whose questions are not trained on")

    produces: ClassVar[dict[ReferenceKind, str]] = {"preferences": PAIRS_FILE}

    def path(self, folder: Path) -> Path:
        """Where the file is."""
        return folder / self.store

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        from burnish.datasets.feedback import Feedback

        try:
            Feedback.open(self.path(folder), create=False).close()
        except (BurnishError, OSError) as error:
            yield ("store",), str(error)
        if self.until is not None and self.until <= self.after:
            yield ("until",), f"got {self.until}; expected more than after ({self.after})"

    def fingerprints(self, folder: Path) -> dict[str, str]:
        from burnish.datasets.feedback import Feedback

        digest = hashlib.sha256()
        with Feedback.open(self.path(folder), create=False) as store:
            for found in store.judgements(after=self.after, until=self.until):
                digest.update(repr(found).encode())
        return {"judgements": digest.hexdigest()}

    def work(self, context: StageContext) -> "Work":
        from burnish.recipes.plan.work import Work

        return Work()

    def run(self, context: StageContext) -> Metrics:
        metrics = feedback.write_rows(context, self.path(context.recipe_folder), context.paths(list(self.tests)), self)
        said = {key: f"{metrics[key]:,}" for key in metrics}
        context.display.say(
            f"  {said['judgements']} judgements of answers to {said['prompts']} prompts: {said['pairs']} pairs, "
            f"{said['labelled']} labelled answers, {said['conversations']} to imitate, {said['heldout_pairs']} pairs "
            f"held out; {said['left_out']} judgements left out"
        )
        return metrics

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"feedback": metrics}
