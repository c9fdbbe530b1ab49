"""Content hashes of inputs, remembered while a file's size and times stay the same.

A model of many gigabytes would otherwise be read in full before each run that has nothing to do. As in git, a file
modified within the last seconds is hashed again: its times may not show the next change.
"""

import hashlib
import json
import time
from pathlib import Path

from burnish.errors import BurnishError
from burnish.files import atomic_write_text, reported, sha256

SETTLED_SECONDS = 2.0


class FileHashes:
    """SHA-256 of files and folders, remembered in `file` where its folder exists."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = self._load()
        self._changed = False

    def of(self, path: Path) -> str:
        """Hash of a file's bytes, or of the names and bytes of everything in a folder."""
        if not path.is_dir():
            return self._of_file(path)
        listing = []
        for file in sorted(path.rglob("*")):
            try:
                if file.is_file():
                    listing.append([str(file.relative_to(path)), self._of_file(file)])
            except (BurnishError, OSError):
                # Whoever reads the folder says what it does without this file; here it only must not look unchanged.
                listing.append([str(file.relative_to(path)), "cannot be read"])
        return digest(listing)

    def save(self) -> None:
        if self._changed and self._file.parent.is_dir():
            atomic_write_text(self._file, json.dumps(self._known))

    def _of_file(self, path: Path) -> str:
        with reported("read", path):
            status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        name = str(path.resolve())
        known = self._known.get(name)
        if known is not None and known[:-1] == stamp:
            return str(known[-1])
        value = sha256(path)
        if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED_SECONDS:
            self._known[name] = [*stamp, value]
            self._changed = True
        return value

    def _load(self) -> dict[str, list[int | str]]:
        try:
            known = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def digest(value: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
