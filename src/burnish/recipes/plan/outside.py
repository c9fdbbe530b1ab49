"""Files, folders and patterns that a recipe names and that are there before it runs."""

import glob
import os
from pathlib import Path

from burnish.errors import DataError
from burnish.files import pattern_parts
from burnish.packages import PACKAGE, NotInPackageError, in_package
from burnish.recipes.language.places import did_you_mean
from burnish.recipes.schema.stage import exists
from burnish.runs.names import STAGE_FILE
from burnish.runs.record import require_object


class NotFoundError(Exception):
    """What is wrong with the name of something that should be there, said for the person who wrote it."""


def found_outside(written: str, kind: str, folder: Path) -> tuple[Path, ...]:
    """The files and folders that `written` names, for a recipe in `folder`: several only for a pattern.

    Raises NotFoundError where there is nothing of the kind.
    """
    if not written.strip():
        raise NotFoundError("got an empty text; expected a path")
    paths: tuple[Path, ...]
    if written.startswith(PACKAGE):
        paths = (_in_package(written),)
    elif exists(location := _location(written, folder)):
        paths = (location,)
    elif kind in ("file", "documents") and glob.has_magic(written):
        there, rest = pattern_parts(location)
        paths = tuple(there / found for found in sorted(glob.glob(rest, root_dir=there, recursive=True)))  # noqa: PTH207
        if not paths:
            raise NotFoundError(f"got '{written}'; no file matches in {folder}")
    else:
        hint = removal(location) or _nearest_file(location) + _hint(written, kind)
        raise NotFoundError(f"got '{written}'; no such file{hint}")
    strange = next((file for file in paths if not (file.is_file() or file.is_dir())), None)
    if strange is not None:
        raise NotFoundError(f"got '{written}'; {strange} is neither a regular file nor a folder")
    if kind == "file" and len(paths) == 1 and paths[0].is_dir():
        raise NotFoundError(f"got '{written}', which is a folder; name files in it, for example '{written}/*.jsonl'")
    return paths


def removal(location: Path) -> str:
    """What to say of a path that is gone since a run has removed the model there; empty where none has."""
    for product in (location, *location.parents):
        file = product.parent / STAGE_FILE
        if product.name and not exists(product) and exists(file):
            try:
                record = require_object(file)
            except DataError:
                return ""
            removed = record.get("removed")
            if isinstance(removed, list) and product.name in removed:
                again = "put `keep: all` into its recipe and run that with --from"
                return f"; stage {record.get('name')} of that run no longer keeps it: {again} {record.get('name')}"
    return ""


def _location(written: str, folder: Path) -> Path:
    try:
        location = folder / Path(written).expanduser()
    except (RuntimeError, ValueError):  # `~name` of nobody
        location = folder / written
    if ".." not in location.parts:
        return location
    # As a person would write it in a message, unless `..` behind a link leads elsewhere.
    short = Path(os.path.normpath(location))
    try:
        return short if short.resolve() == location.resolve() else location
    except (OSError, RuntimeError, ValueError):  # a loop of links, a null character
        return location


def _in_package(written: str) -> Path:
    try:
        return in_package(written)
    except NotInPackageError as error:
        hint = "" if error.location is None else _nearest_file(error.location)
        raise NotFoundError(f"{error}{hint}") from None


def _nearest_file(location: Path) -> str:
    if not exists(location.parent):
        return f" (folder {location.parent} does not exist)"
    try:
        there = [file.name for file in location.parent.iterdir()]
    except OSError:  # not a folder, or not readable
        return ""
    return did_you_mean(location.name, there)


def _hint(written: str, kind: str) -> str:
    if kind == "model":
        return "; expected a model folder, a .gguf file, package:NAME/FILE, or in a stage `base` or @STAGE"
    if kind == "reward_model":
        return "; expected @STAGE of a reward_model stage, or the folder of a reward model"
    if kind == "process_reward_model":
        return "; expected @STAGE of a process_reward_model stage, or the folder of a process reward model"
    return ""
