"""What is to be done with a stage, from what its folder says: done, to be gone on with, or to be done.

A stage that is rerun with another key loses its old product only when the new work starts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from burnish.errors import RecipeError
from burnish.files import reported
from burnish.recipes.language.places import did_you_mean
from burnish.recipes.plan.plan import Input, Plan, PlannedStage
from burnish.runs.folder import is_record, lost_products, read_object
from burnish.runs.hashes import FileHashes
from burnish.runs.names import HASHES_FILE, RUNNING_FILE, STAGE_FILE


@dataclass(frozen=True)
class Status:
    """What is to be done with a stage, and why."""

    state: Literal["cached", "resume", "run"]
    reason: str

    @property
    def cached(self) -> bool:
        return self.state == "cached"


def status_of(stage: PlannedStage, hashes: FileHashes | None = None, *, thorough: bool = False) -> Status:
    """Compare the stage's key with what its folder holds.

    hashes: what is known of the run's files; left out, what the run's folder remembers. thorough: read the products
    in full, also where their size and times have not changed since.
    """
    file = stage.folder / STAGE_FILE
    record = read_object(file)
    if record is not None:
        if not is_record(record):
            return Status("run", f"{file.name} is not what a stage leaves")
        if record["key"] != stage.key:
            return Status("run", _difference(record, stage))
        hashes = hashes or FileHashes(stage.folder.parent / HASHES_FILE)
        lost = next(lost_products(stage.folder, record, hashes, thorough), None)
        return Status("cached", "unchanged") if lost is None else Status("run", lost)
    if file.exists():
        return Status("run", f"{file.name} cannot be read")
    running = read_object(stage.folder / RUNNING_FILE)
    if running is None:
        unreadable = (stage.folder / RUNNING_FILE).exists()
        return Status("run", f"{RUNNING_FILE} cannot be read" if unreadable else "not run yet")
    if running.get("key") != stage.key:
        return Status("run", "changed since it was interrupted")
    return Status("resume", "was interrupted") if stage.config.resumable else Status("run", "was interrupted")


def statuses(
    stages: Sequence[PlannedStage], hashes: FileHashes | None = None, *, start: str | None = None
) -> dict[str, Status]:
    """`status_of` every stage, by name; one whose products were removed runs again where a later one needs them.

    start: name of a stage that runs again with all after it, whatever was kept.
    """
    names = [stage.name for stage in stages]
    forced = names[names.index(start) :] if start is not None else []
    found: dict[str, Status] = {}
    pending: list[PlannedStage] = []
    for stage in reversed(stages):
        status = Status("run", f"--from {start}") if stage.name in forced else status_of(stage, hashes)
        if status.cached and (needed := _needed_again(stage, pending)) is not None:
            status = Status("run", needed)
        if not status.cached:
            pending.insert(0, stage)
        found[stage.name] = status
    return found


def _needed_again(stage: PlannedStage, pending: Sequence[PlannedStage]) -> str | None:
    """Which product of a finished stage was removed and is read by one that is still to run."""
    removed = (read_object(stage.folder / STAGE_FILE) or {}).get("removed")
    for name in removed if isinstance(removed, list) else []:
        for later in pending:
            if any(reads(item, stage.folder / str(name)) for item in later.inputs):
                return f"its {name} was removed, and {later.name} needs it"
    return None


def reads(item: Input, folder: Path) -> bool:
    """Whether an input is a folder, something in it, or what it is in."""
    return any(path == folder or folder in path.parents or path in folder.parents for path in item.paths)


def adopt_renumbered(stages: tuple[PlannedStage, ...]) -> None:
    """Rename folders of stages that moved because a stage was put in or taken out before them."""
    for stage in stages:
        run = stage.folder.parent
        if stage.folder.exists() or not run.is_dir():
            continue
        pattern = re.compile(rf"\d+-{re.escape(stage.name)}")
        others = [folder for folder in run.iterdir() if pattern.fullmatch(folder.name) and folder.is_dir()]
        if len(others) == 1:
            with reported("rename", others[0]):
                others[0].rename(stage.folder)


def _difference(record: Mapping[str, Any], stage: PlannedStage) -> str:
    """The first thing that differs between a finished stage and the one planned now."""
    if record.get("versions", {}).get("burnish") != stage.identity["burnish"]:
        return "made by another version of Burnish"
    old, new = (
        dict(_flat(stage.without_references(configuration)))
        for configuration in (record.get("configuration", {}), stage.identity["configuration"])
    )
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            return f"{key} changed"
    before = {item["field"]: item["key"] for item in record.get("inputs", [])}
    for item in stage.inputs:
        if before.get(item.field) != item.key:
            return f"{item.written} changed"
    for key, value in stage.identity["fingerprints"].items():
        if record.get("fingerprints", {}).get(key) != value:
            return f"{key} changed"
    return "the recipe's seed, device, dtype or date changed"


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def preview(plan: Plan, start: str | None = None) -> list[tuple[PlannedStage, Status]]:
    """What `run` would do with each stage; changes nothing."""
    start_index(plan, start)
    found = statuses(plan.stages, start=start)
    return [(stage, found[stage.name]) for stage in plan.stages]


def start_index(plan: Plan, start: str | None) -> int:
    """The number of the stage from which all run again; that of the stages where none is named."""
    names = [stage.name for stage in plan.stages]
    if start is None:
        return len(names)
    if start not in names:
        raise RecipeError(
            f"--from {start}: no such stage{did_you_mean(start, names) or '.'} Expected one of: {', '.join(names)}"
        )
    return names.index(start)
