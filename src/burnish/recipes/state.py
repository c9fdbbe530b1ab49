"""What a stage's folder says about the stage: done, to be gone on with, or to be done.

`stage.json` is written last and atomically, so its presence with the right key means done. `running.json` is written
first and says which key the unfinished work belongs to. A stage that is rerun with another key loses its old product
only when the new work starts.
"""

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from burnish.errors import BurnishError
from burnish.files import atomic_write_text, open_regular, reported
from burnish.recipes.hashes import FileHashes
from burnish.recipes.plan import Input, PlannedStage
from burnish.recipes.stage import PARTIAL_FOLDER
from burnish.training.state import FILE as TRAINING_STATE_FILE

STAGE_FILE = "stage.json"
RUNNING_FILE = "running.json"
EVENTS_FILE = "events.jsonl"
HASHES_FILE = ".hashes.json"
_UNFINISHED = (PARTIAL_FOLDER, TRAINING_STATE_FILE)
_NOT_PRODUCTS = {STAGE_FILE, RUNNING_FILE, EVENTS_FILE, "tensorboard", *_UNFINISHED}


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
        lost = next(_lost_products(stage.folder, record, hashes, thorough), None)
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


def read_object(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no readable one."""
    try:
        with open_regular(file) as opened:
            value = json.loads(opened.read())
    except (BurnishError, OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_object(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically."""
    atomic_write_text(file, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def clear(folder: Path) -> None:
    """Empty a stage's folder. `stage.json` goes first: a kill in between must not leave a claim without its product."""
    with reported("empty", folder):
        if not folder.is_dir():
            return
        (folder / STAGE_FILE).unlink(missing_ok=True)
        for path in list(folder.iterdir()):
            _remove(path)


def discard_unfinished(folder: Path) -> None:
    """Remove what only an interrupted stage needs, and the hidden files that a killed atomic write left behind."""
    with reported("tidy", folder):
        for path in list(folder.iterdir()):
            if path.name in (RUNNING_FILE, *_UNFINISHED) or path.name.startswith("."):
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def products(folder: Path, hashes: FileHashes) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of every file that a finished stage leaves, by path inside its folder."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.rglob("*")):
        inner = file.relative_to(folder)
        if file.is_file() and inner.parts[0] not in _NOT_PRODUCTS and not inner.parts[0].startswith("."):
            found[str(inner)] = {"bytes": file.stat().st_size, "sha256": hashes.of(file)}
    return found


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


def foreign_files(folder: Path, record: Mapping[str, Any]) -> Iterator[Path]:
    """Files in a folder of a stage's products that the stage has not made: whoever reads the folder reads them too."""
    made = record["products"]
    for name in sorted({Path(inner).parts[0] for inner in made if len(Path(inner).parts) > 1}):
        for file in sorted((folder / name).rglob("*")):
            if file.is_file() and str(file.relative_to(folder)) not in made:
                yield file


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether an object has what `stage.json` is read for."""
    products = record.get("products")
    numbers = (record.get("wall_seconds"), record.get("peak_rss_gib"))
    return (
        all(isinstance(record.get(name), str) for name in ("key", "finished"))
        and all(isinstance(record.get(name), dict) for name in ("metrics", "configuration", "versions", "fingerprints"))
        and isinstance(record.get("inputs"), list)
        and all(isinstance(item, dict) and {"field", "key"} <= item.keys() for item in record["inputs"])
        and all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
        and isinstance(products, dict)
        and all(isinstance(product, dict) and {"bytes", "sha256"} <= product.keys() for product in products.values())
    )


def changed_products(folder: Path, record: Mapping[str, Any] | None, hashes: FileHashes) -> list[Path]:
    """The files in a finished stage's folder whose content is no longer what it made."""
    if record is None or not is_record(record):
        return []
    files = {folder / inner: made["sha256"] for inner, made in record["products"].items()}
    return [file for file, made in files.items() if file.is_file() and hashes.of(file) != made]


def _lost_products(folder: Path, record: Mapping[str, Any], hashes: FileHashes, thorough: bool) -> Iterator[str]:
    """What is wrong with each product that is not what the stage has made."""
    removed = record.get("removed")
    for inner, made in record["products"].items():
        file = folder / inner
        if isinstance(removed, list) and Path(inner).parts[0] in removed:
            continue
        if not file.is_file():
            yield f"its product {inner} is gone"
        elif file.stat().st_size != made["bytes"] or hashes.of(file, anew=thorough) != made["sha256"]:
            yield f"its product {inner} has changed since it was made"


def _difference(record: Mapping[str, Any], stage: PlannedStage) -> str:
    """The first thing that differs between a finished stage and the one planned now."""
    if record.get("versions", {}).get("burnish") != stage.identity["burnish"]:
        return "made by another version of Burnish"
    old, new = dict(_flat(record.get("configuration", {}))), dict(_flat(stage.identity["configuration"]))
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
