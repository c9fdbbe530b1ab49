"""Files that are either complete or absent.

A run may be killed, or the disk may fill, at any moment; whoever reads a product afterwards must never meet
half of one. Everything here is written beside its destination, forced to the disk, then renamed onto it,
which a POSIX file system does in one step.

Several threads and processes may write at the same time, also the same path: each writes under a name of its own, and
the last to finish is read. The name says whose it is, so that what a killed writer left is told from what a living one
is writing.
"""

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError

from burnish.errors import BurnishError

_LONGEST_NAME = 150
"""Bytes of a file's name that its temporary names repeat; file systems allow 255 for all of it."""
_SAME_START_SECONDS = 60
"""How far two readings of a process's start may lie apart: the system clock they are counted from may be set."""
_ELSEWHERE_SECONDS = 24 * 3600.0
"""A writer on another machine, or in another container, cannot be asked; untouched for so long, it is dead."""
_OWNER = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)-(\d+)-[0-9a-f]+\.(?:part|old)")


@contextmanager
def reported(action: str, path: Path) -> Iterator[None]:
    """Turns an `OSError` or `SafetensorError` of the block into a `BurnishError` that names the path and the reason.

    `action` completes "cannot ...", for example "write".
    """
    try:
        yield
    except OSError as error:
        raise BurnishError(f"cannot {action} {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise BurnishError(f"cannot {action} {path}: {error}") from error


_KINDS = (
    (stat.S_ISDIR, "is a folder, not a file"),
    (stat.S_ISFIFO, "is a pipe, which ends only when its writer says so; save what it gives into a file first"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)


def regular_file(path: Path | str) -> Path:
    """Return `path`, which is a regular file or a link to one, without opening it.

    What is read to its end must have one: a pipe may never be written to, and `/dev/zero` never ends. Raises
    `BurnishError` that says what is there instead.
    """
    path = Path(path)
    with reported("read", path):
        try:
            _check_regular(path, path.stat().st_mode)
        except ValueError as error:  # a NUL, or half of a surrogate pair
            raise BurnishError(f"cannot read {str(path)!r}: not the name of a file ({error})") from None
    return path


def open_regular(path: Path | str) -> BufferedReader:
    """Open a regular file for reading bytes; anything else raises `BurnishError` and is never waited for."""
    path = regular_file(path)
    with reported("read", path):
        # Another file may have taken the place meanwhile, and without O_NONBLOCK opening a pipe waits for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            _check_regular(path, os.fstat(descriptor).st_mode)
        except BaseException:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, "rb")


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((kind for test, kind in _KINDS if test(mode)), "is not a regular file")
        raise BurnishError(f"{path}: {kind}")


def pattern_parts(path: Path) -> tuple[Path, str]:
    """A pattern such as `[draft]/*.md` as the folder that is there and the rest, which alone is a pattern."""
    parts = path.parts
    place = next(place for place in range(len(parts) - 1, -1, -1) if not place or Path(*parts[:place]).is_dir())
    return Path(*parts[:place]), str(Path(*parts[place:]))


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    path = Path(path)
    with reported("read", path), open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when the block ends without an exception.

    A reader sees the old content or the new, never a part. Makes missing parent folders, and removes what a
    killed writer of the same path left behind. The file is as readable for others as the umask says, whatever the
    block made of it. Raises `BurnishError` naming the path when the disk is full, the folder is read-only and the
    like; the old content then stays.
    """
    path = Path(path)
    with reported("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(path)
        temporary = _own_name(path, "part")
        mode = _create(temporary)
        try:
            yield temporary
            # Some writers put a private file of their own in its place (safetensors).
            temporary.chmod(mode)
            _sync_file(temporary)
            temporary.replace(path)
        except BaseException:
            _remove(temporary)
            raise
        _sync_folder(path.parent)


def atomic_write_bytes(path: Path | str, data: bytes) -> None:
    """Writes `data` to `path` with the promises of `atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path | str, data: str) -> None:
    """`atomic_write_bytes` of `data` in UTF-8.

    File names need not be UTF-8, and Python has halves of surrogate pairs for their bytes: each becomes its escape,
    `\\udcff`, which JSON reads as the same half again.
    """
    atomic_write_bytes(path, data.encode("utf-8", "backslashreplace"))


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder that takes the place of `path` when the block ends without an exception.

    An existing folder at `path` is replaced whole; files of it that the block did not write do not survive, nor does
    what a killed writer of the same path left behind. When the block raises, the temporary folder is removed and
    `path` stays as it was. Files and folders are as readable for others as the umask says. An `OSError` of the block
    itself, such as a full disk, becomes a `BurnishError` naming `path`.
    """
    path = Path(path)
    with reported("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(path)
        temporary = _own_name(path, "part")
        temporary.mkdir()
        try:
            mode = temporary.stat().st_mode & 0o777
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_symlink():
                    continue
                file.chmod(stat.S_IMODE(file.stat().st_mode) | (mode if file.is_dir() else mode & 0o666))
                _sync_folder(file) if file.is_dir() else _sync_file(file)
            _sync_folder(temporary)
            _replace_folder(temporary, path)
            _sync_folder(path.parent)
        except BaseException:
            _remove(temporary)
            raise


def _replace_folder(new: Path, path: Path) -> None:
    """Renames `new` onto `path`. POSIX replaces only an empty folder, so a full one is first moved aside."""
    while not _renamed(new, path):
        old = _own_name(path, "old")
        with suppress(FileNotFoundError):  # Another writer may just have moved it aside.
            path.rename(old)
        try:
            if _renamed(new, path):
                return
        except BaseException:
            if not os.path.lexists(path) and os.path.lexists(old):
                old.rename(path)
            raise
        finally:
            _remove(old)


def _renamed(new: Path, path: Path) -> bool:
    """Rename `new` to `path`; False where something is there that cannot be renamed onto."""
    try:
        new.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


def _own_name(path: Path, kind: Literal["part", "old"]) -> Path:
    """A new hidden name beside `path` that says which thread of which process it belongs to."""
    import psutil

    started = int(psutil.Process().create_time())
    owner = f"{_here()}-{os.getpid()}-{started}-{threading.get_native_id()}-{secrets.token_hex(4)}"
    return path.parent / f"{_prefix(path)}{owner}.{kind}"


def _prefix(path: Path) -> str:
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST_NAME:
        return f".{path.name}."
    return f".{hashlib.blake2b(name, digest_size=16).hexdigest()}."


def _here() -> str:
    """Where process numbers mean the same: the machine, and on Linux the container."""
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        numbers = ""
    return hashlib.blake2b(f"{platform.node()} {numbers}".encode(), digest_size=4).hexdigest()


def _remove_left_behind(path: Path) -> None:
    """Remove what dead writers of `path` have left. What cannot be listed or removed is not in the way."""
    prefix = _prefix(path)
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix):
                continue
            owner = _OWNER.fullmatch(entry.name.removeprefix(prefix))
            if owner is not None and not _alive(Path(entry.path), *owner.groups()):
                _remove(Path(entry.path))


def _alive(temporary: Path, place: str, pid: str, started: str, thread: str) -> bool:
    """Whether the writer of a temporary file or folder may still be at work."""
    import psutil

    if place != _here():
        try:
            return time.time() - temporary.lstat().st_mtime < _ELSEWHERE_SECONDS
        except OSError:
            return True
    try:
        # A number may have gone to another process since.
        if abs(psutil.Process(int(pid)).create_time() - int(started)) > _SAME_START_SECONDS:
            return False
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.Error:
        return True
    # A thread that writes a path anew has given up what it wrote before.
    others = {one.native_id for one in threading.enumerate()} - {threading.get_native_id()}
    return int(pid) != os.getpid() or int(thread) in others


def _create(file: Path) -> int:
    """Make an empty file; returns the mode that the umask, or the folder's access list, gives a new one."""
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a file or folder that nobody is to read; failing that must not hide why it is removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder; of a link to one, which may lead to a larger disk, what it leads to, and the link stays.

    Raises `BurnishError` naming the path.
    """
    with reported("remove", path):
        if not path.is_symlink():
            shutil.rmtree(path)
            return
        for inner in list(path.iterdir()):
            if inner.is_dir() and not inner.is_symlink():
                shutil.rmtree(inner)
            else:
                inner.unlink()


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Forces a rename to the disk. Not every system lets a folder be opened (Windows does not)."""
    with suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
