"""One process at a time in a run folder.

The lock is the operating system's, held by an open file: it vanishes with its process, however that ends, so a killed
run leaves nothing to clean up. A second file names the holder, for the message of the second run alone.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from burnish.errors import BurnishError
from burnish.files import reported

LOCK_FILE = ".lock"
HOLDER_FILE = ".holder.json"
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def run_lock(folder: Path) -> Iterator[bool]:
    """Hold `folder` for this process; gives whether it can be written to: what is read-only needs no lock.

    Raises BurnishError naming the process that holds it already.
    """
    lock = FileLock(folder / LOCK_FILE, blocking=False, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BurnishError(
            f"cannot make the folder {folder}: {error.strerror}; choose a place that can be written to"
        ) from error
    with reported("lock", folder / LOCK_FILE):
        try:
            lock.acquire()
        except Timeout:
            raise BurnishError(
                f"{folder} is in use by {_holder(folder)}; wait for it, or choose another folder with --runs"
            ) from None
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
    if not lock.is_locked:
        yield False
        return
    try:
        with suppress(OSError):  # on a full disk the message of a second run is poorer, and no more
            (folder / HOLDER_FILE).write_text(json.dumps({"pid": os.getpid()}))
        yield True
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    try:
        return f"another run (process {json.loads((folder / HOLDER_FILE).read_text())['pid']})"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another run"
