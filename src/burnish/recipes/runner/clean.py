"""Gives back the space of a finished run: what can be made again, and nothing that it was made for.

Records, events, reports, answers, adapters and the final model stay. A stage whose model or rollouts were removed still
counts as done, and runs again only where a stage that has changed needs what it made.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError
from burnish.files import remove_folder
from burnish.recipes.runner.intermediate import Trained, intermediate, remove, size, touched
from burnish.runs.folder import is_record, read_object
from burnish.runs.hashes import FileHashes
from burnish.runs.lock import run_lock
from burnish.runs.names import (
    ADAPTER_FOLDER,
    CACHE_FOLDER,
    HASHES_FILE,
    MODEL_FOLDER,
    ROLLOUTS_FOLDER,
    RUN_FILE,
    STAGE_FILE,
)

_STAGE_FOLDER = re.compile(r"\d+-.+")
_MAKERS = ("pretrain", "convert", "extend_tokenizer", "cpt", "sft", "dpo", "kto", "distill", "grpo", "ppo", "rft")
"""Types of the stages whose model is a step on the way where another of them goes on from it."""


@dataclass(frozen=True)
class Removable:
    """A folder that can be made again.

    stage: the stage's that made it, which then says so; None for a cache. touched: a file in it that is not as the
    stage made it, for which the folder stays.
    """

    path: Path
    n_bytes: int
    stage: Path | None
    touched: Path | None = None


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
        hashes = FileHashes(folder / HASHES_FILE)
        for one in found:
            if one.stage is not None:
                remove(one.path, hashes)
            else:
                remove_folder(one.path)
    return found


def _removable(folder: Path, final: Path) -> Iterator[Removable]:
    cache = folder / CACHE_FOLDER
    if cache.is_dir():
        yield Removable(cache, size(cache), None)
    stages = sorted(path for path in folder.iterdir() if path.is_dir() and _STAGE_FOLDER.fullmatch(path.name))
    # A stage that is not finished needs all that it has to go on.
    records = {stage: record for stage in stages if (record := read_object(stage / STAGE_FILE)) is not None}
    for stage, record in records.items():
        if not is_record(record):
            raise BurnishError(f"{stage / STAGE_FILE}: not what a stage leaves; run the recipe again to mend it")
    models = _intermediate_models(records)
    if models and models[-1].resolve() != final and not final.exists():
        models.pop()
    hashes = FileHashes(folder / HASHES_FILE)
    for stage in records:
        for path in (stage / MODEL_FOLDER, stage / ROLLOUTS_FOLDER):
            if path.is_dir() and path.resolve() != final and (path.name == ROLLOUTS_FOLDER or path in models):
                yield Removable(path, size(path), stage, next(iter(touched(path, hashes)), None))


def _intermediate_models(records: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
    """The models that a later training went on from, in order; a model that an adapter stands on is a result."""
    made = {stage: record for stage, record in records.items() if record.get("type") in _MAKERS}
    found = intermediate(
        [
            Trained(str(record.get("name")), _begins(record), adapter=(stage / ADAPTER_FOLDER).is_dir())
            for stage, record in made.items()
        ]
    )
    return [stage / MODEL_FOLDER for stage, record in made.items() if record.get("name") in found]


def _begins(record: Mapping[str, Any]) -> str | None:
    """The stage whose model a stage went on from."""
    inputs = record.get("inputs")
    for item in inputs if isinstance(inputs, list) else []:
        if isinstance(item, dict) and item.get("field") == "model" and isinstance(item.get("producer"), str):
            return str(item["producer"])
    return None
