"""Gives back the space of a finished run: what can be made again, and nothing that it was made for.

Records, events, reports, answers, adapters and the final model stay. A stage whose model or rollouts were removed still
counts as done, and runs again only where a stage that has changed needs what it made.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError
from burnish.files import reported
from burnish.recipes.lock import run_lock
from burnish.recipes.plan import RUN_FILE
from burnish.recipes.rollout_stage import ROLLOUTS_FOLDER
from burnish.recipes.stage import CACHE_FOLDER
from burnish.recipes.state import STAGE_FILE, read_object, write_object
from burnish.recipes.training_stage import ADAPTER_FOLDER, MODEL_FOLDER

_STAGE_FOLDER = re.compile(r"\d+-.+")
_TRAININGS = ("cpt", "sft", "dpo", "kto", "reward_model", "grpo", "ppo")
"""Types of the stages whose model is a step on the way where another training begins from it."""


@dataclass(frozen=True)
class Removable:
    """A folder that can be made again. stage: the stage's that made it, which then says so; None for a cache."""

    path: Path
    n_bytes: int
    stage: Path | None


def clean(folder: Path, *, dry_run: bool = False) -> list[Removable]:
    """Remove the caches, rollouts and intermediate models of a run; returns what was, or would be.

    Raises BurnishError where the folder is not a run's, or the run is going on.
    """
    run = read_object(folder / RUN_FILE)
    if run is None or not isinstance(run.get("model"), str):
        raise BurnishError(f"{folder}: not the folder of a run (no {RUN_FILE} that says which model is its last)")
    final = (folder / run["model"]).resolve()
    if dry_run:
        return list(_removable(folder, final))
    with run_lock(folder) as writable:
        if not writable:
            raise BurnishError(f"{folder}: is read-only")
        found = list(_removable(folder, final))
        for one in found:
            if one.stage is not None:
                # First the word, then the deed: a kill in between leaves a folder that nobody reads.
                record = read_object(one.stage / STAGE_FILE) or {}
                write_object(
                    one.stage / STAGE_FILE, {**record, "removed": sorted({*record.get("removed", []), one.path.name})}
                )
            with reported("remove", one.path):
                shutil.rmtree(one.path)
    return found


def _removable(folder: Path, final: Path) -> Iterator[Removable]:
    cache = folder / CACHE_FOLDER
    if cache.is_dir():
        yield Removable(cache, _size(cache), None)
    stages = sorted(path for path in folder.iterdir() if path.is_dir() and _STAGE_FOLDER.fullmatch(path.name))
    # A stage that is not finished needs all that it has to go on.
    records = {stage: record for stage in stages if (record := read_object(stage / STAGE_FILE)) is not None}
    models = _intermediate_models(records)
    if models and models[-1].resolve() != final and not final.exists():
        models.pop()
    for stage in records:
        for path in (stage / MODEL_FOLDER, stage / ROLLOUTS_FOLDER):
            if path.is_dir() and path.resolve() != final and (path.name == ROLLOUTS_FOLDER or path in models):
                yield Removable(path, _size(path), stage)


def _intermediate_models(records: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
    """The models that a later training has read; those that an adapter stands on, and exports, are results."""
    read = {
        item.get("producer")
        for record in records.values()
        if record.get("type") in _TRAININGS
        for item in record.get("inputs", [])
    }
    bases = {
        str((read_object(stage / ADAPTER_FOLDER / "adapter_config.json") or {}).get("base_model_name_or_path"))
        for stage in records
    }
    return [
        stage / MODEL_FOLDER
        for stage, record in records.items()
        if record.get("type") in _TRAININGS
        and record.get("name") in read
        and str((stage / MODEL_FOLDER).resolve()) not in bases
    ]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
