"""The system calls that a program may make: a list of what Python needs to compute, and nothing else (seccomp(2)).

Everything that is not on the list fails with EPERM: sockets, new processes and programs, signals to others, ptrace and
process_vm_*, namespaces and mounts, keyctl, bpf, perf_event_open, io_uring, userfaultfd, memfd_create, SysV and POSIX
IPC, links and special files, and whatever a future kernel adds. Calls of another architecture (int 0x80, x32) end the
process.
"""

import ctypes
import errno
import platform
import struct

# By name, the numbers on x86-64 and on arm64; None where there is none.
_CALLS: dict[str, tuple[int | None, int | None]] = {
    # files that are open, or below the root
    "read": (0, 63), "write": (1, 64), "open": (2, None), "openat": (257, 56), "close": (3, 57),
    "close_range": (436, 436),
    "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "statfs": (137, 43), "fstatfs": (138, 44), "lseek": (8, 62), "pread64": (17, 67), "pwrite64": (18, 68),
    "readv": (19, 65), "writev": (20, 66), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "pipe": (22, None), "pipe2": (293, 59), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "flock": (73, 32),
    "fsync": (74, 82), "fdatasync": (75, 83), "truncate": (76, 45), "ftruncate": (77, 46), "getdents64": (217, 61),
    "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None),
    "unlinkat": (263, 35), "readlink": (89, None), "readlinkat": (267, 78), "chmod": (90, None), "fchmod": (91, 52),
    "fchmodat": (268, 53), "umask": (95, 166), "utimensat": (280, 88), "sendfile": (40, 71),
    # memory and threads
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216),
    "madvise": (28, 233), "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293),
    "set_tid_address": (218, 96), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    # its own signals and its end
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "pause": (34, None),
    "alarm": (37, None), "getitimer": (36, 102), "setitimer": (38, 103), "exit": (60, 93), "exit_group": (231, 94),
    "restart_syscall": (219, 128), "wait4": (61, 260), "waitid": (247, 95),
    # time, waiting, chance, and what it is
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "time": (201, None), "times": (100, 153), "getrusage": (98, 165), "getrandom": (318, 278), "uname": (63, 160),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getpgrp": (111, None), "sysinfo": (99, 179),
}  # fmt: skip
# Of these only some arguments are let through.
_CLONE, _CLONE3, _FCNTL, _IOCTL, _KILL, _TGKILL, _PRLIMIT = (
    (56, 220), (435, 435), (72, 25), (16, 29), (62, 129), (234, 131), (302, 261),
)  # fmt: skip
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the tables above, and the name that the kernel gives it (AUDIT_ARCH_*)."""

_CLONE_THREAD, _NEW_NAMESPACES = 0x00010000, 0x7E020080  # cgroup, uts, ipc, user, pid, net; mount; time
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)  # F_DUPFD to F_SETLKW, F_DUPFD_CLOEXEC; no F_SETOWN, F_SETSIG
_IOCTL_COMMANDS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FION/CLEX

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JSET|K, BPF_RET|K
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 38, 22, 2

_Instruction = tuple[int, int, int, int]
"""Code, instructions to jump if true, if false, operand: struct sock_filter."""


def supported() -> bool:
    """Whether there is a filter for this machine's processor."""
    return platform.machine() in _ARCHITECTURES


def program_filter(machine: str, pid: int) -> list[_Instruction]:
    """The filter of a program with a process id. Of an argument it compares the low 32 bits, all that is read."""
    column, architecture = _ARCHITECTURES[machine]
    rules: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        rules += [(_ANY_BIT, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL_PROCESS)]  # x32
    for numbers in _CALLS.values():
        if (number := numbers[column]) is not None:
            rules += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    # A new thread, never a process nor a namespace. clone3 keeps its flags in memory, where a filter cannot look; the
    # C library takes clone where the kernel does not know it.
    rules += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    rules += _rule(
        _CLONE[column],
        0,
        [(_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_ANY_BIT, 0, 1, _CLONE_THREAD)],
    )
    rules += _rule(_FCNTL[column], 1, _one_of(_FCNTL_COMMANDS))
    rules += _rule(_IOCTL[column], 1, _one_of(_IOCTL_COMMANDS), errno.ENOTTY)
    for numbers in (_KILL, _TGKILL):  # itself, as `abort` does
        rules += _rule(numbers[column], 0, _one_of((pid,)))
    rules += _rule(_PRLIMIT[column], 0, _one_of((0,)))
    return [*rules, (_RETURN, 0, 0, _ERRNO | errno.EPERM)]


def _rule(number: int, argument: int, tests: list[_Instruction], otherwise: int = errno.EPERM) -> list[_Instruction]:
    """Let a call through whose argument passes one of the tests: pairs of a test and what it returns."""
    body = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument), *tests, (_RETURN, 0, 0, _ALLOW)]
    body.append((_RETURN, 0, 0, _ERRNO | otherwise))
    return [(_EQUAL, 0, len(body), number), *body]


def _one_of(values: tuple[int, ...]) -> list[_Instruction]:
    """Tests of which the last falls through where a value is none of them; the others return by themselves."""
    tests: list[_Instruction] = []
    for value in values[:-1]:
        tests += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*tests, (_EQUAL, 0, 1, values[-1])]


def no_new_privileges() -> None:
    """Give up for good that a program started from here gains rights, as from a setuid bit."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")


def confine(pid: int) -> None:
    """Put this thread, and those that it starts, under the filter for good. Raises OSError where there is none."""
    rules = program_filter(platform.machine(), pid)
    packed = b"".join(struct.pack("=HBBI", *rule) for rule in rules)
    instructions = ctypes.create_string_buffer(packed, len(packed))

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program = Program(len(rules), ctypes.cast(instructions, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp cannot be set")
