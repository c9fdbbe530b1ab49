"""The folder of a stage: its record, its products, and what an unfinished stage leaves behind.

`stage.json` is written last and atomically, so its presence means done. `running.json` is written first and says which
key the unfinished work belongs to.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError
from burnish.files import atomic_write_text, open_regular, reported
from burnish.runs.hashes import FileHashes
from burnish.runs.names import PARTIAL_FOLDER, RUNNING_FILE, STAGE_FILE, TENSORBOARD_FOLDER
from burnish.training.names import BEST_FILE, EVENTS_FILE, STATE_FILE

_UNFINISHED = (PARTIAL_FOLDER, STATE_FILE, BEST_FILE)
_NOT_PRODUCTS = {STAGE_FILE, RUNNING_FILE, EVENTS_FILE, TENSORBOARD_FOLDER, *_UNFINISHED}


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


def lost_products(folder: Path, record: Mapping[str, Any], hashes: FileHashes, thorough: bool) -> Iterator[str]:
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
