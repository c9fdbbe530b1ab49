"""Content hashes of inputs and products, remembered while a file's size, times and number stay the same.

A model of many gigabytes would otherwise be read in full before each run that has nothing to do. As in git, a file
modified within the last seconds is hashed again: its times may not show the next change. A change that also sets the
time of modification back shows in the time of the file's status, which nobody can set.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from burnish.errors import BurnishError
from burnish.files import reported, sha256
from burnish.kept import read_json, write_json

SETTLED_SECONDS = 2.0
SLOW_SECONDS = 5.0
"""How often it is said what is being read, where that takes longer."""
_OWNER = "hashes"


class FileHashes:
    """SHA-256 of files and folders, remembered in `file` where its folder exists.

    notice: told what is being read where that takes long.
    """

    def __init__(self, file: Path, notice: Callable[[str], None] = lambda _: None) -> None:
        self._file, self._notice = file, notice
        self._known = self._load()
        self._changed = False

    def of(self, path: Path, *, anew: bool = False) -> str:
        """Hash of a file's bytes, or of the names and bytes of everything in a folder.

        anew: read a file whatever is remembered of it.
        """
        if not path.is_dir():
            return self._of_file(path, anew=anew)
        unreadable: list[OSError] = []
        files = [Path(folder, name) for folder, _, names in os.walk(path, onerror=unreadable.append) for name in names]
        # A folder that has vanished meanwhile is as good as never there.
        denied = [Path(error.filename) for error in unreadable if not isinstance(error, FileNotFoundError)]
        listing: list[list[str]] = [[str(folder.relative_to(path)), "cannot be read"] for folder in sorted(denied)]
        said, n_bytes = time.monotonic(), 0
        for number, file in enumerate(sorted(files)):
            if time.monotonic() - said > SLOW_SECONDS:
                said = time.monotonic()
                self._notice(
                    f"reading {path}, to know when it changes: {number:,} of {len(files):,} files, "
                    f"{n_bytes / 2**20:,.0f} MiB so far; name a folder or a pattern with less in it if that is "
                    "more than was meant"
                )
            try:
                if file.is_file():
                    n_bytes += file.stat().st_size
                    listing.append([str(file.relative_to(path)), self._of_file(file)])
            except (BurnishError, OSError):
                # Whoever reads the folder says what it does without this file; here it only must not look unchanged.
                listing.append([str(file.relative_to(path)), "cannot be read"])
        return digest(listing)

    def save(self) -> None:
        """Remember the hashes on the disk; where that cannot be written, they are computed again next time."""
        if self._changed and self._file.parent.is_dir():
            with suppress(BurnishError):
                write_json(self._file, self._known, owner=_OWNER)
                self._changed = False

    def _of_file(self, path: Path, *, anew: bool = False) -> str:
        stamp = _stamp(path)
        name = str(path.resolve())
        known = self._known.get(name)
        if not anew and known is not None and known[:-1] == stamp:
            return str(known[-1])
        value = sha256(path)
        # What was written to while it was read is read again next time.
        if _stamp(path) == stamp and time.time() - max(stamp[1], stamp[2]) / 1e9 > SETTLED_SECONDS:
            self._known[name] = [*stamp, value]
            self._changed = True
        return value

    def _load(self) -> dict[str, list[int | str]]:
        """What was remembered; nothing where the file is not what was written."""
        try:
            known = read_json(self._file, owner=_OWNER) if self._file.exists() else {}
        except BurnishError:
            return {}
        return known if isinstance(known, dict) else {}


def _stamp(path: Path) -> list[int]:
    with reported("read", path):
        status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def digest(value: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
