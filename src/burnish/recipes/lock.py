"""One process at a time in a run folder.

The lock is the operating system's (`flock`), held by an open file: it vanishes with its process, however that
ends, so a killed run leaves nothing to clean up. The file's text only serves the message for the second run.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from burnish.errors import BurnishError
from burnish.files import reported

LOCK_FILE = ".lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process. Raises BurnishError naming the process that holds it already."""
    file = folder / LOCK_FILE
    with reported("lock", file):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BurnishError(
                f"{folder} is in use by {_holder(file)}; wait for it, or choose another folder with --runs"
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid()}).encode())
        yield
    finally:
        os.close(descriptor)


def _holder(file: Path) -> str:
    try:
        return f"another run (process {json.loads(file.read_text())['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
