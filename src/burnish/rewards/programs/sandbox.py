"""A sandbox for Python that a model wrote: programs run, and are tested, in cells that share nothing with each other.

A program runs in one cell, its tests in another. The tests call the program's functions through a pipe, as plain data;
the verdict comes through a pipe that only the tests' process holds:

    this process ── job, start and stop ──▶ cell of programs   program ◀─┐
         │                                                               │ calls and answers, plain data
         └───────── job, start and stop ──▶ cell of tests      tests ◀───┘
                  ◀──────────── verdict ─────────────────────────┘

Notable choices:
- Time is the processor's, so that a busy machine makes no right answer wrong. The clock on the wall ends a job that
  waits: one in which neither process has computed for `idle_seconds`, and any after `ProgramLimits.wall`.
- A cell serves many jobs; one in which something was left behind is ended, and a new one is started for the next job.
- Nothing that a program writes is parsed in this process.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from burnish.rewards.programs.cell import ROLES, Cell, CellError, Role
from burnish.rewards.programs.isolation import KINDS, Interpreter, Kind, interpreter, missing, refusal
from burnish.rewards.programs.job import Job, Program, ProgramLimits, ProgramOutcome
from burnish.rewards.programs.unit_tests import UnitTests

__all__ = ["Program", "ProgramLimits", "ProgramOutcome", "ProgramSandbox"]

_SET_AT_START = ("memory", "disk", "file_size", "processes", "descriptors")


class ProgramSandbox:
    """Runs programs that a model wrote against unit tests.

    kind: how programs are kept apart; the first that works here if left out. python: the file of their interpreter,
    this one's if left out (`python` then says which); they have its standard library. workers: programs that run at the
    same time, one a core if left out. `isolation`: what keeps programs apart here, in words. Use as a context manager,
    or call `close`. Raises NoIsolationError where this machine cannot keep programs apart.
    """

    def __init__(
        self,
        limits: ProgramLimits | None = None,
        *,
        kind: Kind | None = None,
        python: str = "",
        workers: int | None = None,
    ) -> None:
        self.limits = limits or ProgramLimits()
        self._pair, self.isolation = _first_that_works(self.limits, KINDS if kind is None else (kind,), python)
        self.python = self._pair.python.file
        self.workers = len(os.sched_getaffinity(0)) if workers is None else workers
        self._lock = threading.Lock()
        self._pairs = [self._pair]
        self._free = [self._pair]

    def run(self, program: Program, tests: UnitTests) -> ProgramOutcome:
        """Run one program against its tests."""
        with self._lock:
            if not self._free:
                self._pairs.append(self._pair.another())
                self._free.append(self._pairs[-1])
            pair = self._free.pop()
        try:
            return pair.run(program, tests)
        finally:
            with self._lock:
                self._free.append(pair)

    def run_all(self, jobs: Sequence[tuple[Program, UnitTests]]) -> list[ProgramOutcome]:
        """Run many, several at the same time, in order."""
        if len(jobs) < 2 or self.workers == 1:
            return [self.run(*job) for job in jobs]
        with ThreadPoolExecutor(min(self.workers, len(jobs))) as pool:
            return list(pool.map(lambda job: self.run(*job), jobs))

    def process_groups(self) -> set[int]:
        """The process groups of the cells that are running."""
        return {cell.group for pair in self._pairs for cell in pair.cells()}

    def close(self) -> None:
        """End all cells."""
        with self._lock:
            for pair in self._pairs:
                pair.end(*ROLES)

    def __enter__(self) -> "ProgramSandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _first_that_works(limits: ProgramLimits, kinds: Sequence[Kind], python: str) -> "tuple[_Pair, str]":
    reasons: dict[Kind, str] = {}
    for kind in kinds:
        reason = missing(kind)
        if reason is None:
            pair = _Pair(kind, interpreter(python), limits)
            try:
                landlock = pair.cell("program").landlock
            except CellError as error:
                reason = str(error)
            else:
                behind = f"Landlock {landlock}, seccomp" if landlock else "seccomp; this kernel has no Landlock"
                return pair, f"{kind}, {behind}"
        reasons[kind] = reason
    raise refusal(reasons)


class _Pair:
    """A cell for programs and one for tests, started when they are needed."""

    def __init__(self, kind: Kind, python: Interpreter, limits: ProgramLimits) -> None:
        self._kind, self.python, self._limits = kind, python, limits
        self._cells: dict[Role, Cell] = {}

    def another(self) -> "_Pair":
        return _Pair(self._kind, self.python, self._limits)

    def cells(self) -> list[Cell]:
        return list(self._cells.values())

    def cell(self, role: Role) -> Cell:
        if role not in self._cells:
            limits = {name: int(getattr(self._limits, name)) for name in _SET_AT_START}
            self._cells[role] = Cell(self._kind, self.python, role, limits)
        return self._cells[role]

    def end(self, *roles: Role) -> None:
        for role in roles:
            if role in self._cells:
                self._cells.pop(role).end()

    def run(self, program: Program, tests: UnitTests) -> ProgramOutcome:
        """Run a job; once more where a cell ends without having been told to, as when the machine is out of memory."""
        for _ in range(2):
            try:
                job = Job({role: self.cell(role) for role in ROLES}, self._limits, program, tests)
                outcome = job.outcome()
            except CellError as error:
                self.end(*ROLES)
                problem = str(error)
            else:
                self.end(*job.left)
                return outcome
        return ProgramOutcome("unjudged", f"the sandbox fails: {problem}")
