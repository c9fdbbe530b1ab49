"""Files that are either complete or absent.

A run may be killed, or the disk may fill, at any moment; whoever reads a product afterwards must never meet
half of one. Everything here is written beside its destination, forced to the disk, then renamed onto it,
which a POSIX file system does in one step.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from burnish.errors import BurnishError


@contextmanager
def reported(action: str, path: Path) -> Iterator[None]:
    """Turns an `OSError` inside the block into a `BurnishError` that names the path and the reason.

    `action` completes "cannot ...", for example "write".
    """
    try:
        yield
    except OSError as error:
        raise BurnishError(f"cannot {action} {path}: {error.strerror or error}") from error


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


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    path = Path(path)
    with reported("read", path), open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when the block ends without an exception.

    A reader sees the old content or the new, never a part. Makes missing parent folders, and removes what a
    killed writer of the same path left behind. Raises `BurnishError` naming the path when the disk is full, the
    folder is read-only and the like; the old content then stays.
    """
    path = Path(path)
    with reported("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}."
        for left_behind in path.parent.glob(f"{prefix}*.part"):
            left_behind.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            _sync_file(temporary)
            # mkstemp makes files that only their owner can read; a model folder is meant to be shared.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def atomic_write_bytes(path: Path | str, data: bytes) -> None:
    """Writes `data` to `path` with the promises of `atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path | str, data: str) -> None:
    """`atomic_write_bytes` of `data` in UTF-8."""
    atomic_write_bytes(path, data.encode("utf-8"))


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder that takes the place of `path` when the block ends without an exception.

    An existing folder at `path` is replaced whole; files of it that the block did not write do not survive, nor does
    what a killed writer of the same path left behind. When the block raises, the temporary folder is removed and
    `path` stays as it was. An `OSError` of the block itself, such as a full disk, becomes a `BurnishError` naming
    `path`.
    """
    path = Path(path)
    with reported("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_behind in path.parent.glob(f".{path.name}.*.part"):
            shutil.rmtree(left_behind, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            yield temporary
            for file in sorted(temporary.rglob("*")):
                _sync_folder(file) if file.is_dir() else _sync_file(file)
            _sync_folder(temporary)
            temporary.chmod(0o777 & ~_umask())
            _replace_folder(temporary, path)
            _sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _replace_folder(new: Path, path: Path) -> None:
    """Renames `new` onto `path`. POSIX replaces only an empty folder, so a full one is first moved aside."""
    if not path.exists():
        new.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    path.rename(old / path.name)
    try:
        new.rename(path)
    except BaseException:
        (old / path.name).rename(path)
        raise
    finally:
        for replaced in path.parent.glob(f".{path.name}.*.old"):
            shutil.rmtree(replaced, ignore_errors=True)


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


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
