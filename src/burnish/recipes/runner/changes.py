"""What people change in a run's folder and inputs while it goes on: noticed, and never mixed with what it makes."""

from burnish.errors import DataError
from burnish.files import reported
from burnish.recipes.plan.plan import PlannedStage
from burnish.recipes.runner.state import RunState
from burnish.runs.folder import changed_products, foreign_files, read_object
from burnish.runs.hashes import digest
from burnish.runs.names import CHANGED_FOLDER, STAGE_FILE


def check_unchanged(state: RunState, stage: PlannedStage) -> None:
    """Raise DataError where what the stage reads is no longer what its key was computed from."""
    for item in stage.inputs:
        if item.producer is None:
            if digest([[file.name, state.hashes.of(file)] for file in item.paths]) != item.key:
                raise DataError(_edited(item.written))
            continue
        for file in foreign_files(state.plan.stage(item.producer).folder, state.records[item.producer]):
            if any(path in file.parents for path in item.paths):
                raise DataError(
                    f"{file}: stage {item.producer} has not made this file, and '{item.written}' would be read "
                    "with it; move it elsewhere"
                )
    now = stage.config.fingerprints(state.plan.recipe_folder)
    for name, value in stage.identity["fingerprints"].items():
        if now.get(name) != value:
            raise DataError(_edited(name))


def keep_changed(state: RunState, stage: PlannedStage) -> None:
    """Put aside what somebody has changed in a finished stage: work of a person's, perhaps."""
    record = read_object(stage.folder / STAGE_FILE)
    for file in changed_products(stage.folder, record, state.hashes):
        aside = state.plan.folder / CHANGED_FOLDER / stage.folder.name / file.relative_to(stage.folder)
        with reported("keep", aside):
            aside.parent.mkdir(parents=True, exist_ok=True)
            file.replace(aside)
        state.display.say(
            f"  {file.relative_to(state.plan.folder)} was changed after stage {stage.name} had made it; the changed "
            f"file is now {aside}: to use it, name it in the recipe",
            style="yellow",
        )


def _edited(written: str) -> str:
    return (
        f"'{written}' has changed since the run began, so what was made of it belongs to neither content; run the same "
        "command again"
    )
