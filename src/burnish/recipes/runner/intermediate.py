"""Models on the way to another: which they are, when nothing needs them any more, and what that leaves of the disk.

A model is intermediate where a later training of the run went on from it. It stays where an adapter stands on it, since
the adapter is of no use without. What another stage only looks at, such as `evaluate`, keeps a model until then.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from burnish.files import remove_folder
from burnish.recipes.plan.plan import Plan, PlannedStage
from burnish.recipes.plan.status import reads
from burnish.recipes.schema.training_stage import TrainingStage
from burnish.runs.folder import changed_products, foreign_files, read_object, write_object
from burnish.runs.hashes import FileHashes
from burnish.runs.names import STAGE_FILE


@dataclass(frozen=True)
class Trained:
    """A stage that makes a policy. begins: the stage whose model it goes on from. adapter: whether it leaves one."""

    name: str
    begins: str | None
    adapter: bool = False


def intermediate(stages: Collection[Trained]) -> set[str]:
    """Names of the stages whose model is a step on the way."""
    return {stage.begins for stage in stages if stage.begins is not None} - {
        stage.begins for stage in stages if stage.adapter and stage.begins is not None
    }


def planned(plan: Plan) -> dict[str, Path]:
    """The folders of a plan's intermediate models, by the name of the stage that makes them."""
    makers = {stage.name: stage.model for stage in plan.stages if stage.model is not None and not stage.config.copies}
    found = intermediate([_trained(stage, makers) for stage in plan.stages if stage.name in makers])
    return {
        name: folder
        for name, folder in makers.items()
        if name in found and not any(reads(item, folder) for item in plan.chat_inputs)
    }


def _trained(stage: PlannedStage, makers: Mapping[str, Path]) -> Trained:
    model = next((item for item in stage.inputs if item.field == "model" and item.kind == "model"), None)
    # Who goes on from a snapshot leaves the model that came of it.
    begins = model.producer if model is not None and model.paths[:1] == (makers.get(model.producer or ""),) else None
    return Trained(stage.name, begins, isinstance(stage.config, TrainingStage) and stage.config.lora is not None)


def unneeded(plan: Plan, pending: Collection[str]) -> Iterator[tuple[PlannedStage, Path]]:
    """The intermediate models that no stage of `pending` reads, with the stages that made them, which are finished."""
    folders = planned(plan)
    for stage in plan.stages:
        folder = folders.get(stage.name)
        if folder is not None and stage.name not in pending and not _is_read(plan.stages, pending, folder):
            yield stage, folder


def _is_read(stages: Iterable[PlannedStage], pending: Collection[str], folder: Path) -> bool:
    return any(reads(item, folder) for stage in stages if stage.name in pending for item in stage.inputs)


def remove(folder: Path, hashes: FileHashes) -> list[Path]:
    """Remove a product of a finished stage, which then says so, unless somebody has worked on it.

    Returns the files that are not as the stage made them: then nothing is removed.
    """
    stage = folder.parent
    if files := touched(folder, hashes):
        return files
    record = read_object(stage / STAGE_FILE) or {}
    if folder.name not in record.get("removed", []):
        # First the word, then the deed: a kill in between leaves a folder that nobody reads.
        write_object(stage / STAGE_FILE, {**record, "removed": sorted({*record.get("removed", []), folder.name})})
    remove_folder(folder)
    return []


def touched(folder: Path, hashes: FileHashes) -> list[Path]:
    """The files of a finished stage's product that are not as the stage made them: a person's work, perhaps."""
    stage = folder.parent
    record = read_object(stage / STAGE_FILE)
    if record is None or not isinstance(record.get("products"), dict):
        return [stage / STAGE_FILE]
    if folder.name in record.get("removed", []):
        return []
    found = [*changed_products(stage, record, hashes), *foreign_files(stage, record)]
    return [file for file in found if folder in file.parents]


def peak_bytes(plan: Plan, pending: Collection[str], n_parameters: int, steps: Mapping[str, int] | None = None) -> int:
    """The most that the stages to run have on the disk at one time, beside what is there already.

    Bounds each stage by what it writes while it runs, and then by what it keeps. steps: of the trainings, by stage, as
    far as they are counted.
    """
    folders = planned(plan) if plan.recipe.keep == "needed" else {}
    left = set(pending)
    held: dict[str, int] = {}
    snapshots: dict[str, int] = {}
    peak = 0
    for stage in plan.stages:
        if stage.name not in pending:
            continue
        on_the_way = (steps or {}).get(stage.name, 0)
        peak = max(peak, sum(held.values()) + stage.config.disk_bytes(n_parameters, on_the_way))
        kept = stage.config.kept_bytes(n_parameters, on_the_way)
        held[stage.name], snapshots[stage.name] = kept, kept - stage.config.kept_bytes(n_parameters)
        left.discard(stage.name)
        for name, folder in folders.items():
            if name in held and not _is_read(plan.stages, left, folder):
                held[name] = snapshots[name]
    return max(peak, sum(held.values()))


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
