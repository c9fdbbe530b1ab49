"""One program and its tests, from their start in two cells to the verdict: what is waited for, and how long."""

import json
import math
import os
import select
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from burnish.rewards.programs.cell import Cell, Role
from burnish.rewards.programs.unit_tests import UnitTests

_MAX_VERDICT_BYTES = 2**17
_TESTS_PATIENCE = 10.0
"""How much longer than a program its tests may compute: the user wrote them."""
_MOVED_SECONDS = 0.005
"""Of processor time, which even a process with dozens of busy neighbours gets while it is idle_seconds old."""
_REASONS = frozenset({"correct", "wrong result", "error", "unsupported"})


@dataclass(frozen=True)
class ProgramLimits:
    """What a program may use.

    seconds: of processor time. memory, disk, file_size: bytes; memory is address space, 40 MB of it Python's own.
    processes: its threads, for it cannot start processes. idle_seconds: how long it may wait for nothing.
    wall_seconds: on the clock, after which it is given up; if left out, enough for a dozen busy neighbours.
    """

    seconds: float = 3.0
    memory: int = 512 * 2**20
    disk: int = 16 * 2**20
    file_size: int = 16 * 2**20
    processes: int = 32
    descriptors: int = 64
    idle_seconds: float = 3.0
    wall_seconds: float | None = None

    @property
    def wall(self) -> float:
        """Seconds on the clock."""
        return 12 * self.seconds + 1 if self.wall_seconds is None else self.wall_seconds


@dataclass(frozen=True)
class Program:
    """An answer's code. prompt: code that it continues or completes, as HumanEval's prompts are, if any."""

    code: str
    prompt: str | None = None


@dataclass(frozen=True)
class ProgramOutcome:
    """What became of a program.

    reason: "correct", "wrong result", "error", "timeout", "unsupported" (the tests need more than plain data), or
    "unjudged" where the tests or the machine are at fault. detail: for a person. calls: answers that the tests got.
    seconds: of processor time. outputs: a hash of what it did in the tests' calls, of programs that got to their end.
    """

    reason: str
    detail: str = ""
    calls: int = 0
    seconds: float = 0.0
    outputs: str = ""

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return self.reason == "correct"


class Job:
    """One program and its tests on their way through a pair of cells. left: the cells in which files were left."""

    def __init__(self, cells: Mapping[Role, Cell], limits: ProgramLimits, program: Program, tests: UnitTests) -> None:
        self._cells, self._limits = cells, limits
        self.left: list[Role] = []
        self._last: dict[Role, dict[str, Any]] = {}
        self._verdict = b""
        self._sources = {
            "program": _sealed({**asdict(program), "entry_point": tests.entry_point, "names": tests.names}),
            "tests": _sealed(tests.message()),
        }

    def outcome(self) -> ProgramOutcome:
        """Run it and say what became of it. Raises CellError where a cell ends without having been told to."""
        calls, ask = os.pipe()
        replies, reply = os.pipe()
        verdicts, say = os.pipe()
        os.set_blocking(verdicts, False)
        seconds = self._limits.seconds
        try:
            try:
                self._cells["program"].start([self._sources["program"], calls, reply], seconds)
                self._cells["tests"].start([self._sources["tests"], ask, replies, say], _TESTS_PATIENCE * seconds)
            finally:
                for descriptor in (calls, ask, replies, reply, say, *self._sources.values()):
                    os.close(descriptor)
            late = self._wait(verdicts)
            ends = {role: self._end(role) for role in self._cells}
        finally:
            os.close(verdicts)
        return self._outcome(late, ends)

    def _wait(self, verdicts: int) -> tuple[str, str] | None:
        """Wait for the verdict; returns reason and detail where it does not come in time."""
        poller = select.poll()
        poller.register(verdicts, select.POLLIN)
        for cell in self._cells.values():
            poller.register(cell.control, select.POLLIN)
        started = moved = time.monotonic()
        heard: dict[Role, float] = {}
        computed = 0.0
        while True:
            events = dict(poller.poll(500))
            now = time.monotonic()
            for role, cell in self._cells.items():
                if cell.control.fileno() in events:
                    self._last[role] = cell.receive()
                    heard[role] = math.inf if "ended" in self._last[role] else now
            if (verdicts in events or heard.get("tests") == math.inf) and self._has_read(verdicts):
                return None
            used = math.fsum(float(message["used"]) for message in self._last.values())
            if used > computed + _MOVED_SECONDS:
                computed, moved = used, now
            idle = self._limits.idle_seconds
            # A cell that says nothing itself is short of the processor, and so may be what runs in it.
            if now > moved + idle and all(heard.get(role, 0.0) > moved + idle / 2 for role in self._cells):
                return "timeout", f"nothing was computed for {idle:g} s: it waits for what does not come"
            if now > started + self._limits.wall:
                wall = f"{self._limits.wall:g} s on the clock"
                return "unjudged", f"{wall} were over: it sleeps much, or this machine is too busy"

    def _has_read(self, verdicts: int) -> bool:
        """Read what there is of the verdict; whether that is all that will come."""
        while len(self._verdict) <= _MAX_VERDICT_BYTES:
            try:
                part = os.read(verdicts, 2**16)
            except BlockingIOError:  # not all of it yet, unless its writer has ended
                return "ended" in self._last.get("tests", {})
            if not part:
                break
            self._verdict += part
        return True

    def _end(self, role: Role) -> dict[str, Any]:
        """End a job in its cell; what the cell says of it."""
        cell = self._cells[role]
        cell.stop()
        while "ended" not in (message := self._last.get(role, {})):
            self._last[role] = cell.receive()
        if message["left"]:
            self.left.append(role)
        return message

    def _outcome(self, late: tuple[str, str] | None, ends: Mapping[Role, Mapping[str, Any]]) -> ProgramOutcome:
        seconds = float(ends["program"]["used"])
        limit = self._limits.seconds
        if ends["program"]["slow"]:
            return ProgramOutcome(
                "timeout", f"the time limit of {limit:g} s of processor time was reached", seconds=seconds
            )
        if ends["tests"]["slow"]:
            limit *= _TESTS_PATIENCE
            return ProgramOutcome(
                "unjudged", f"the tests compute longer than {limit:g} s; raise the limit", seconds=seconds
            )
        if late is not None:
            return ProgramOutcome(*late, seconds=seconds)
        try:
            verdict = json.loads(self._verdict[4:])
            reason, detail, calls = str(verdict["reason"]), str(verdict["detail"]), int(verdict["calls"])
            outputs = str(verdict.get("outputs", ""))
        except (ValueError, KeyError, TypeError, RecursionError):
            return ProgramOutcome("unjudged", "the tests ended without a verdict", seconds=seconds)
        if reason not in _REASONS or (reason == "correct" and calls == 0):
            return ProgramOutcome("unjudged", "the tests ended without a verdict", calls, seconds)
        return ProgramOutcome(reason, detail, calls, seconds, outputs)


def _sealed(message: Mapping[str, Any]) -> int:
    """A file in memory that holds a message, for a process to read; nobody can change it any more."""
    import fcntl

    descriptor = os.memfd_create("job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(json.dumps(message).encode())
    fcntl.fcntl(descriptor, 1033, 0x1 | 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: seal, shrink, grow, write
    return descriptor
