"""Process 1 of a cell: it forks a process for each program, waits for its end, and ends all that it left behind.

It never reads what a program or its tests say: they come in files and pipes that it only hands on, so nothing of one
program is in the memory of the next. What reaches it are orders of the one outside, on a socket that is its standard
input; as process 1 no signal of a program's ends it, and no program can trace it. When the one outside ends, so does
it, and with it the whole cell.
"""

import json
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any

from burnish.rewards.programs.inside import confinement, landlock, namespaces, program, tests

_STEP_SECONDS = 0.05
_REPORT_SECONDS = 0.5
_MOST_FILES = 2000
"""In a program's folder: empty ones take none of its bytes, but memory of the kernel."""
_WARM = (
    "bisect", "collections", "copy", "dataclasses", "enum", "functools", "hashlib", "heapq", "itertools", "math",
    "operator", "random", "re", "statistics", "string", "typing",
)  # fmt: skip


def start(control: socket.socket, order: dict[str, Any]) -> None:
    """Begin a cell: where bubblewrap has not made it, make it; then serve as its first process."""
    try:
        if order["enter"] is not None:

            def wait() -> None:
                _send(control, {"unshared": True})
                control.recv(2**16)

            namespaces.enter(**order["enter"], wait=wait)
            first = os.fork()
            if first:
                os.close(control.detach())  # else the first process would not hear that the one outside has ended
                os.waitpid(first, 0)
                os._exit(0)
            confinement.end_with_parent()
        confinement.lose_rights()
    except OSError as error:
        _send(control, {"failed": f"{error.strerror or error}"})
        os._exit(1)
    serve(control, order["role"], order["limits"])


def serve(control: socket.socket, role: str, limits: dict[str, Any]) -> None:
    """Take orders until there is nobody to give any.

    An order is the descriptors of a job and its limits, to which the reply is how it ended; or `stop`, which ends it.
    """
    for name in _WARM:
        __import__(name)
    if role == "program":
        __import__("random").seed(0)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        if number < signal.SIGRTMIN:
            signal.signal(number, signal.SIG_IGN)
    _send(control, {"ready": True, "pid": os.getpid(), "landlock": landlock.version(), "holes": _holes(limits)})
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 2**16, 8)
        if not data:
            os._exit(0)
        order = json.loads(data)
        if order.get("stop"):
            continue  # it had ended already
        child = os.fork()
        if child == 0:
            _work(role, descriptors, {**limits, "seconds": int(order["seconds"]) + 2})
        for descriptor in descriptors:
            os.close(descriptor)
        _send(control, _watched(control, child, order["seconds"]))


def _work(role: str, descriptors: list[int], limits: dict[str, Any]) -> None:
    """The life of a process that is forked for a job. It does not return."""
    try:
        confinement.keep_only(descriptors)
        job, *pipes = range(confinement.FIRST, confinement.FIRST + len(descriptors))
        confinement.confine(limits)
        size = os.fstat(job).st_size
        source = os.pread(job, size, 0)
        os.close(job)
        os.chdir(confinement.FOLDER)
        (program.serve if role == "program" else tests.judge)(source, *pipes)
    finally:
        os._exit(0)


def _watched(control: socket.socket, child: int, seconds: float) -> dict[str, Any]:
    """How a job ended: by itself, because it computed longer than `seconds`, or because it was told to."""
    clock = (~child << 3) | 2  # the processor time of a process: what clock_getcpuclockid(3) gives
    handle = os.pidfd_open(child)
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    poller.register(control, select.POLLIN)
    slow = False
    said = time.monotonic()
    while True:
        events = dict(poller.poll(1000 * _STEP_SECONDS))
        if control.fileno() in events:
            if not control.recv(2**16):
                os._exit(0)
            os.kill(child, signal.SIGKILL)  # the only order now is to stop
        if handle in events:
            break
        used = time.clock_gettime(clock)
        slow = slow or used > seconds
        files = os.statvfs(confinement.FOLDER)
        if slow or files.f_files - files.f_ffree > _MOST_FILES:
            os.kill(child, signal.SIGKILL)
        if time.monotonic() > said + _REPORT_SECONDS:
            said = time.monotonic()
            _send(control, {"used": used, "at": said})
    os.close(handle)
    _, status, usage = os.wait4(child, 0)
    used = usage.ru_utime + usage.ru_stime
    _end_all()
    signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {
        "ended": True,
        "signal": signalled,
        "slow": slow or used > seconds,
        "used": used,
        "left": any(Path(confinement.FOLDER).iterdir()),
    }


def _end_all() -> None:
    """End and reap every process of the cell but this one."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return


def _holes(limits: dict[str, Any]) -> list[str]:
    """What a confined process of this cell can do although it must not: tried once, at the start."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(_found(limits)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = b"".join(iter(lambda: os.read(reading, 2**16), b""))
    os.close(reading)
    os.waitpid(child, 0)
    return list(json.loads(said)) if said else ["its limits cannot be set"]


def _found(limits: dict[str, Any]) -> list[str]:
    import resource

    found = []

    def expect_failure(what: str, attempt: Any, *arguments: Any) -> None:
        try:
            attempt(*arguments)
        except OSError:
            return
        found.append(what)

    soft_and_hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, soft_and_hard[1]))
    try:
        if os.fork() == 0:
            os._exit(0)
        found.append("its processes are not counted")
    except OSError:
        pass
    confinement.confine({**limits, "seconds": 5})
    expect_failure("it can start processes", os.fork)
    expect_failure("it can open sockets", socket.socket)
    expect_failure("it can write outside of its folder", open, "/burnish", "w")
    expect_failure("it sees the machine's files", os.stat, "/etc/passwd")
    expect_failure("it sees the machine's processes", os.stat, "/proc/1")
    expect_failure("it can signal others", os.kill, 1, 0)
    return found


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    try:
        control.send(json.dumps(message).encode())
    except OSError:
        os._exit(0)
