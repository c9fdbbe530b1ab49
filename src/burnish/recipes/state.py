"""What a stage's folder says about the stage: done, to be gone on with, or to be done.

`stage.json` is written last and atomically, so its presence with the right key means done. `running.json` is written
first and says which key the unfinished work belongs to. A stage that is rerun with another key loses its old product
only when the new work starts.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from burnish.files import atomic_write_text, reported
from burnish.recipes.plan import PlannedStage
from burnish.recipes.stage import PARTIAL_FOLDER
from burnish.training.state import FILE as TRAINING_STATE_FILE

STAGE_FILE = "stage.json"
RUNNING_FILE = "running.json"
EVENTS_FILE = "events.jsonl"
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


def status_of(stage: PlannedStage) -> Status:
    """Compare the stage's key with what its folder holds."""
    record = read_object(stage.folder / STAGE_FILE)
    if record is not None:
        if record.get("key") != stage.key:
            return Status("run", _difference(record, stage))
        lost = next(_lost_products(stage.folder, record), None)
        return (
            Status("cached", "unchanged") if lost is None else Status("run", f"its product {lost} is gone or changed")
        )
    running = read_object(stage.folder / RUNNING_FILE)
    if running is None:
        return Status("run", "not run yet")
    if running.get("key") != stage.key:
        return Status("run", "changed since it was interrupted")
    return Status("resume", "was interrupted") if stage.config.resumable else Status("run", "was interrupted")


def read_object(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no readable one."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
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


def products(folder: Path) -> dict[str, int]:
    """Size in bytes of every file that a finished stage leaves, by path inside its folder."""
    found = {}
    for file in sorted(folder.rglob("*")):
        inner = file.relative_to(folder)
        if file.is_file() and inner.parts[0] not in _NOT_PRODUCTS and not inner.parts[0].startswith("."):
            found[str(inner)] = file.stat().st_size
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


def _lost_products(folder: Path, record: Mapping[str, Any]) -> Iterator[str]:
    for inner, size in record.get("products", {}).items():
        file = folder / inner
        if not file.is_file() or file.stat().st_size != size:
            yield inner


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
