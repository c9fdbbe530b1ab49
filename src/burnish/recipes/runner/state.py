"""What is known of a run while it goes on: its plan, what its stages have made so far, and who hears of it."""

from dataclasses import dataclass, field
from typing import Any

from burnish.recipes.plan.plan import Input, Plan, PlannedStage
from burnish.recipes.plan.status import Status, statuses
from burnish.recipes.schema.stage import StageContext
from burnish.runs.folder import read_object
from burnish.runs.hashes import FileHashes
from burnish.runs.names import HASHES_FILE, STAGE_FILE
from burnish.runs.progress import Reporter


@dataclass
class RunState:
    """A plan on its way.

    start: name of the stage from which all runs again. hashes: of the run's files, as far as they are known. records:
    by name, the `stage.json` of every stage that is finished.
    """

    plan: Plan
    display: Reporter
    start: str | None = None
    hashes: FileHashes = field(init=False)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hashes = FileHashes(self.plan.folder / HASHES_FILE)

    def statuses(self) -> dict[str, Status]:
        """By name, what is to be done with each stage as things are now."""
        return statuses(self.plan.stages, self.hashes, start=self.start)

    def read_record(self, stage: PlannedStage) -> None:
        """Take over what a finished stage has left."""
        self.records[stage.name] = read_object(stage.folder / STAGE_FILE) or {}

    def is_there(self, item: Input) -> bool:
        """Whether what a stage reads has been made by now."""
        return item.producer is None or item.producer in self.records

    def context(self, stage: PlannedStage) -> StageContext:
        recipe = self.plan.recipe
        return StageContext(
            folder=stage.folder,
            key=stage.key,
            seed=stage.seed,
            device=recipe.device,
            compute_dtype=recipe.compute_dtype,
            today=self.plan.today,
            inputs={item.written: item.paths for item in stage.inputs},
            input_keys={item.written: item.key for item in stage.inputs},
            display=self.display,
            recipe_folder=self.plan.recipe_folder,
            recipe=recipe.header(),
            base=self.plan.model,
            lineage=tuple(
                self.records[earlier.name] for earlier in self.plan.ancestors(stage) if earlier.name in self.records
            ),
            origins=self.plan.origins(stage),
            retokenized=self.plan.retokenized(stage),
        )
