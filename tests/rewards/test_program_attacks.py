"""Every attack of `program_attacks` is contained: refused or ended, with the sandbox at work and nothing left."""

import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from program_attacks import CONTAINED, ENDED, TOOLS, TRICKS

from burnish.rewards.programs.isolation import KINDS, NoIsolationError, interpreter
from burnish.rewards.programs.sandbox import Program, ProgramLimits, ProgramOutcome, ProgramSandbox
from burnish.rewards.programs.unit_tests import read_tests

LIMITS = ProgramLimits(seconds=0.4, memory=128 * 2**20, idle_seconds=1.5, wall_seconds=300)
HONEST = Program("def solve(x):\n    return x * x\ndef attempt():\n    return 'contained'")
ATTEMPT = read_tests({"tests": "assert attempt() == 'contained'"})
SQUARES = read_tests({"tests": ["assert solve(3) == 9", "assert solve(-4) == 16"]})
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the system calls' numbers are x86-64's")


def open_sandbox(kind: str, **options: object) -> ProgramSandbox:
    """A sandbox of a kind; root runs bubblewrap as nobody, who may not read every interpreter."""
    reasons = []
    for python in ("", "/usr/bin/python3"):
        try:
            return ProgramSandbox(LIMITS, kind=kind, python=python, **options)  # type: ignore[arg-type]
        except NoIsolationError as error:
            reasons.append(str(error))
        if not Path("/usr/bin/python3").exists():
            break
    pytest.skip(reasons[0])


def processes_of(groups: set[int]) -> list[str]:
    """The processes that belong to one of the process groups."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) in groups and fields[0] != "Z":
                found.append(entry.name)
    return found


def all_gone(groups: set[int]) -> list[str]:
    """The processes that are left of the groups, once killed ones have had the time to end on a busy machine."""
    until = time.monotonic() + 20
    while (left := processes_of(groups)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def programs(folder: Path, readable: tuple[str, ...]) -> Iterator[tuple[str, Program, object]]:
    """Name, program and tests of all attacks."""
    facts = (
        f"HOME = {str(Path.home())!r}\nREPOSITORY = {str(Path(__file__).parents[2])!r}\n"
        f"WITNESS = {str(folder / 'witness')!r}\nREADABLE = {readable!r}\n"
    )
    for name, body in CONTAINED.items():
        text = body if "\n" in body else f"return {body}"
        code = "".join(f"    {line}\n" for line in text.strip().splitlines())
        yield name, Program(f"{TOOLS}{facts}def attempt():\n{code}"), ATTEMPT
    for name, (code, _) in ENDED.items():
        yield name, Program(code), ATTEMPT
    for name, (code, tests) in TRICKS.items():
        yield name, Program(code), read_tests({"tests": tests, "entry_point": "solve"})


@pytest.fixture(scope="module", params=[KINDS[1], pytest.param(KINDS[0], marks=pytest.mark.slow)])
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ProgramOutcome]:
    """What became of every attack, each followed by an honest program in the same sandbox."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "witness").write_text("untouched")
    os.environ["WITNESS"] = "SECRET"
    try:
        with open_sandbox(request.param, workers=2) as sandbox:
            python = interpreter(sandbox.python)
            attacks = list(programs(folder, python.readable))
            outcomes = sandbox.run_all([(program, tests) for _, program, tests in attacks])  # type: ignore[misc]
            honest = sandbox.run_all([(HONEST, SQUARES)] * 4)
            groups = sandbox.process_groups()
            alive = processes_of(groups)
        left = all_gone(groups)
    finally:
        del os.environ["WITNESS"]
    assert [one.reason for one in honest] == ["correct"] * 4, honest
    assert len(alive) <= 2 * len(groups), "a cell is its first process and the one that started it"
    assert left == []
    assert (folder / "witness").read_text() == "untouched"
    assert [file.name for file in folder.iterdir()] == ["witness"]
    return dict(zip([name for name, _, _ in attacks], outcomes, strict=True))


def test_there_are_enough_of_them() -> None:
    assert len({*CONTAINED, *ENDED, *TRICKS}) == len(CONTAINED) + len(ENDED) + len(TRICKS) >= 40


@X86
@pytest.mark.parametrize("name", CONTAINED)
def test_what_a_program_must_not_do_is_refused(outcomes: dict[str, ProgramOutcome], name: str) -> None:
    assert outcomes[name].reason == "correct", outcomes[name]


@pytest.mark.parametrize("name", ENDED)
def test_what_a_program_must_not_use_up_ends_it(outcomes: dict[str, ProgramOutcome], name: str) -> None:
    assert outcomes[name].reason in ENDED[name][1], outcomes[name]


@pytest.mark.parametrize("name", TRICKS)
def test_no_program_passes_tests_that_it_does_not_solve(outcomes: dict[str, ProgramOutcome], name: str) -> None:
    assert outcomes[name].reason in ("wrong result", "error", "unsupported"), outcomes[name]
