"""A cell from outside: an interpreter in namespaces of its own that forks a confined process for each job.

It is started once and serves many jobs, so that a program costs milliseconds. A cell in which something was left
behind, or whose process hangs, is ended as a whole: the kernel ends all that is in it with its first process.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
from importlib.resources import files
from typing import Any, Literal

from burnish.rewards.programs.inside import MODULES
from burnish.rewards.programs.isolation import NOBODY, Interpreter, Kind, command

Role = Literal["program", "tests"]
ROLES: tuple[Role, ...] = ("program", "tests")
_START_SECONDS = 60.0
_MESSAGE_BYTES = 2**16


class CellError(Exception):
    """A cell cannot be started, or has ended."""


class Cell:
    """A running cell. `role`: what its processes do with their job. `landlock`: the version that confines them, or 0.

    Raises CellError where it cannot be started, or does not hold what it has to.
    """

    def __init__(self, kind: Kind, python: Interpreter, role: Role, limits: dict[str, int]) -> None:
        sources = files("burnish.rewards.programs.inside")
        text = {name: sources.joinpath(f"{name}.py").read_text("utf-8") for name in ("boot", *MODULES)}
        line, enter, as_nobody = command(kind, python, text.pop("boot"), limits["disk"])
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                line,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # Equal programs give equal answers: the order of a set does not depend on the process.
                env={"PATH": os.defpath, "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
                | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
                cwd="/",
                start_new_session=True,
                user=NOBODY if as_nobody else None,
                group=NOBODY if as_nobody else None,
                extra_groups=[] if as_nobody else None,
            )
        try:
            self.landlock = self._begin({"modules": list(text.items()), "enter": enter, "role": role, "limits": limits})
        except BaseException:
            self.end()
            raise

    @property
    def group(self) -> int:
        """The process group that all of the cell's processes begin in."""
        return self._process.pid

    def _begin(self, order: dict[str, Any]) -> int:
        """Send what it is to run, and wait until it has shown that it is confined."""
        self.control.settimeout(_START_SECONDS)
        self._send(order)
        reply = self.receive()
        if reply.get("unshared"):
            self._map_users()
            self._send({"mapped": True})
            reply = self.receive()
        if "failed" in reply:
            raise CellError(str(reply["failed"]))
        if reply.get("pid") != 1:
            raise CellError("it has no process ids of its own")
        if reply["holes"]:
            raise CellError(f"its processes are not confined: {', '.join(reply['holes'])}")
        return int(reply["landlock"])

    def _map_users(self) -> None:
        """Say who is who in the cell's user namespace: nobody is this user; of root's, root makes it, nobody runs."""
        user, group = os.geteuid(), os.getegid()
        folder = f"/proc/{self._process.pid}"

        def write(name: str, text: str) -> None:
            descriptor = os.open(f"{folder}/{name}", os.O_WRONLY)  # one write, as the kernel wants it
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)

        try:
            if user == 0:
                for name in ("uid_map", "gid_map"):
                    write(name, f"0 0 1\n{NOBODY} {NOBODY} 1\n")
            else:
                write("setgroups", "deny")
                write("uid_map", f"{NOBODY} {user} 1\n")
                write("gid_map", f"{NOBODY} {group} 1\n")
        except OSError as error:
            raise CellError(f"users cannot be mapped: {error.strerror}") from error

    def start(self, descriptors: list[int], seconds: float) -> None:
        """Begin a job: the file that says what it is, and its pipes; it is ended after so much processor time."""
        try:
            socket.send_fds(self.control, [json.dumps({"seconds": seconds}).encode()], descriptors)
        except OSError as error:
            raise CellError("it has ended") from error

    def stop(self) -> None:
        """End the job, if it goes on; its last message still comes."""
        self._send({"stop": True})

    def receive(self) -> dict[str, Any]:
        """The next message: of a job that goes on how much it has `used`, of one that has `ended` how."""
        try:
            data = self.control.recv(_MESSAGE_BYTES)
        except OSError as error:
            raise CellError("it does not answer") from error
        if not data:
            raise CellError(self._last_words() or "it has ended")
        message: dict[str, Any] = json.loads(data)
        return message

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.control.send(json.dumps(message).encode())
        except OSError as error:
            raise CellError(self._last_words() or "it has ended") from error

    def _last_words(self) -> str:
        """The last line that it wrote before it ended, such as bubblewrap's reason."""
        self._kill()
        assert self._process.stderr is not None
        lines = self._process.stderr.read(_MESSAGE_BYTES).decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def _kill(self) -> None:
        if self._process.returncode is None:  # until it is waited for, its number is nobody else's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def end(self) -> None:
        """End the cell and all that is in it."""
        self.control.close()
        self._kill()
        if self._process.stderr is not None:
            self._process.stderr.close()
