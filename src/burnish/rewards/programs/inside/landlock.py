"""What of the file system a program may use: it may read, and write below one folder (landlock(7), Linux 5.13).

This stands behind the mounts of a cell, which are read-only, and needs no rights. Kernels without it are told so.
"""

import contextlib
import ctypes
import os
import struct

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_READ = 1 << 2 | 1 << 3  # READ_FILE, READ_DIR
_WRITE_FILE = 1 << 1
_WRITE = _WRITE_FILE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8  # REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""By the version from which on they exist: all rights up to MAKE_SYM, REFER, TRUNCATE, IOCTL_DEV."""
_TRUNCATE = 1 << 14
_TCP = 0b11  # bind, connect; from version 4 on
_SCOPES = 0b11  # abstract sockets and signals stay within; from version 6 on


def version() -> int:
    """The version of Landlock that this kernel speaks; 0 for none."""
    return max(0, ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)))


def confine(readable: str, writable: str) -> None:
    """Let this process, and those it starts, read below one path and write below another; needs `no_new_privs`."""
    spoken = version()
    if spoken == 0:
        return
    handled = max(rights for since, rights in _FILE_RIGHTS.items() if since <= spoken)
    attributes = struct.pack("=Q", handled)
    if spoken >= 4:
        attributes += struct.pack("=Q", _TCP)
    if spoken >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        _allow(ruleset, readable, _READ)
        _allow(ruleset, writable, (_READ | _WRITE | _TRUNCATE) & handled)
        with contextlib.suppress(FileNotFoundError):
            _allow(ruleset, os.devnull, _WRITE_FILE | 1 << 2)
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, opened)  # packed in the kernel's own declaration, too
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock's system call {number} fails")
    return result
