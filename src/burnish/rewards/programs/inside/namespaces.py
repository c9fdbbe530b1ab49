"""A cell made by the kernel's own means, where bubblewrap is not: unshare(2), an empty root, pivot_root(2).

Works as root, and as an ordinary user where the system lets users make namespaces. What bubblewrap does for
`isolation.py` is done here in the same order: new namespaces, a temporary root, the interpreter's files in it,
read-only.
"""

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_DETACH = 2
_MOUNT_SETATTR, _AT_RECURSIVE, _AT_FDCWD = 442, 0x8000, -100
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_ROOT = "/tmp"
"""Where the new root is mounted before it becomes one: a folder that every system has."""


def enter(readable: list[str], links: dict[str, str], hidden: list[str], size: int, wait: Callable[[], None]) -> None:
    """Go into new namespaces with an empty root; the next fork is process 1 of its own.

    readable: files and folders that are there, read-only. links: symbolic links and what they lead to. hidden: folders
    in `readable` that are empty. size: bytes that /tmp holds. wait: returns when the one outside has said who is who.
    Raises OSError where the kernel says no.
    """
    _check("unshare", _libc().unshare(_NEW_NAMESPACES))
    wait()
    _mount(None, "/", None, _REC | _PRIVATE)
    sources = {
        path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in [*readable, os.devnull]
    }  # before /tmp is hidden
    _mount("tmpfs", _ROOT, "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m")
    for path, source in sources.items():
        _show(path, source)
        os.close(source)
    for path in hidden:
        _mount("tmpfs", _ROOT + path, "tmpfs", _RDONLY | _NOSUID | _NODEV, "mode=755,size=4k")
    for path, target in links.items():
        Path(_ROOT + path).symlink_to(target)
    for folder in ("tmp", "old"):
        Path(_ROOT, folder).mkdir()
    _mount("tmpfs", f"{_ROOT}/tmp", "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={size},nr_inodes=1024")
    os.chdir(_ROOT)
    _check("pivot_root", _libc().syscall(_PIVOT_ROOT[os.uname().machine], b".", b"old"))
    os.chdir("/")
    _check("umount2", _libc().umount2(b"/old", _DETACH))
    Path("/old").rmdir()
    _mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    with contextlib.suppress(OSError):
        _check("sethostname", _libc().sethostname(b"cell", 4))


def _show(path: str, source: int) -> None:
    """Put a file or folder in the new root, at the same path, read-only."""
    target = Path(_ROOT + path)
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = os.fstat(source).st_mode
    target.mkdir(exist_ok=True) if stat.S_ISDIR(mode) else target.touch()
    _mount(f"/proc/self/fd/{source}", str(target), None, _BIND | _REC)
    flags = _RDONLY | _NOSUID | (0 if stat.S_ISCHR(mode) else _NODEV)
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)  # its first flags have the values of the old ones
    done = _libc().syscall(
        _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, attributes, ctypes.c_size_t(len(attributes))
    )
    if done != 0:  # before Linux 5.12: what is mounted below stays as it is, writable only for those who own it
        kept = os.statvfs(target).f_flag & (_NOSUID | _NODEV | 8 | 1024 | 2048)  # locked: noexec, noatime, nodiratime
        _mount(None, str(target), None, _REMOUNT | _BIND | flags | kept)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    done = _libc().mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _check(f"mount {target}", done)


def _check(what: str, done: int) -> None:
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
