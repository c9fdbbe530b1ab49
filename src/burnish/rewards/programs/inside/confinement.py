"""What a process gives up before it runs a program: open files, rights, resources, system calls.

The order matters: the filter of system calls comes last, since it forbids what the others need.
"""

import ctypes
import os
import resource
import signal
from typing import Any

from burnish.rewards.programs.inside import landlock, seccomp

FOLDER = "/tmp"
"""The one folder that a program can write to, empty at its start."""
UID = 65534
"""Who it is within its cell: nobody."""
FIRST = 3
"""The first of the descriptors that it keeps, behind input, output and error, which lead nowhere."""
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_CAPABILITIES = 0x20080522  # _LINUX_CAPABILITY_VERSION_3


def lose_rights() -> None:
    """Make this process an ordinary one that may do nothing more, even as root of its namespace."""
    if os.getuid() == 0:
        # Root's processes are not counted against RLIMIT_NPROC: nobody's are.
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
    libc = ctypes.CDLL(None, use_errno=True)
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # nobody reads its memory, nor traces it
    seccomp.no_new_privileges()


def end_with_parent() -> None:
    """Let the kernel end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def keep_only(descriptors: list[int]) -> None:
    """Close all descriptors but these, which become FIRST and those behind it, and give 0, 1 and 2 nothing."""
    above = 64
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, above + place)
    for place in range(len(descriptors)):
        os.dup2(above + place, FIRST + place)
    os.closerange(FIRST + len(descriptors), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(FIRST):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def limit(limits: dict[str, Any]) -> None:
    """Set the kernel's limits: memory and file_size in bytes, seconds of processor time, processes, descriptors."""
    for kind, value in {
        resource.RLIMIT_AS: limits["memory"],
        resource.RLIMIT_CPU: limits["seconds"],
        resource.RLIMIT_FSIZE: limits["file_size"],
        resource.RLIMIT_NPROC: limits["processes"],
        resource.RLIMIT_NOFILE: limits["descriptors"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def confine(limits: dict[str, Any]) -> None:
    """All that a process gives up before it runs what a model wrote. There is no way back."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number not in (signal.SIGPIPE, signal.SIGXFSZ) and number < signal.SIGRTMIN:
            signal.signal(number, signal.SIG_DFL)
    limit(limits)
    landlock.confine("/", FOLDER)
    seccomp.confine(os.getpid())
