"""Programs and their tests in the sandbox: what passes, what does not and why, and what is said where none is."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.rewards.programs import isolation
from burnish.rewards.programs.inside.values import canonical, encode
from burnish.rewards.programs.isolation import NoIsolationError
from burnish.rewards.programs.judge import UnitTestVerifier
from burnish.rewards.programs.sandbox import Program, ProgramLimits, ProgramSandbox
from burnish.rewards.programs.unit_tests import read_tests

LIMITS = ProgramLimits(memory=256 * 2**20, wall_seconds=300)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ProgramSandbox]:
    try:
        opened = ProgramSandbox(LIMITS, workers=1)
    except NoIsolationError as error:
        pytest.skip(str(error))
    with opened:
        yield opened


CLASSES = "class Stack:\n    pass\ndef make(): return Stack()"
CASES: list[tuple[str, str | list[str], str, str]] = [
    ("def f(x): return x + 1", "assert f(1) == 2", "correct", ""),
    ("def f(x): return x", "assert f(1) == 2", "wrong result", "in 'assert f(1) == 2': f(1) returned 1"),
    ("def f(x): return [x]", ["assert f(1) == [1]", "assert f(2) == (2,)"], "wrong result", "f(2) returned [2]"),
    ("def f(x): return 1 / x", "assert f(0) == 1", "error", "f(0) raised ZeroDivisionError: division by zero"),
    (
        "def f(x): raise ValueError('no')",
        "try:\n    f(1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'no'",
        "correct",
        "",
    ),
    (
        "class Own(KeyError): pass\ndef f(x): raise Own(x)",
        "try:\n    f(1)\nexcept LookupError:\n    pass\nelse:\n    assert False",
        "correct",
        "",
    ),
    ("def f(xs): xs.sort()", "xs = [3, 1, 2]\nf(xs)\nassert xs == [1, 2, 3]", "correct", ""),
    ("def f(m): m[0].append(1)", "m = [[0]]\nf(m)\nassert m == [[0, 1]]", "correct", ""),
    ("def f(xs): return xs.sort()", "xs = [2, 1]\nassert f(xs) is None and xs == [1, 2]", "correct", ""),
    ("def f(n):\n    for i in range(n): yield i * i", "assert list(f(4)) == [0, 1, 4, 9]", "correct", ""),
    ("LIMIT = (1, 2)\ndef f(): return LIMIT", "assert LIMIT == (1, 2) and f() == LIMIT", "correct", ""),
    (
        "import functools\n@functools.cache\ndef f(n): return n if n < 2 else f(n - 1) + f(n - 2)",
        "assert f(60) == 1548008755920",
        "correct",
        "",
    ),
    (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(x): return P(x).x",
        "assert f(3) == 3",
        "correct",
        "",
    ),
    ("def f(a, *, b=2): return a * b", "assert f(2, b=5) == 10 and f(a=3) == 6", "correct", ""),
    ("def f(x): return {x: {1, 2}}", "assert f('a') == {'a': {2, 1}}", "correct", ""),
    ("def f(x): return None", "import copy\nassert copy.deepcopy(f(1)) == None", "correct", ""),
    (
        "def encode(s): return s[::-1]\ndef decode(s): return s[::-1]",
        "assert decode(encode('ab')) == 'ab'",
        "correct",
        "",
    ),
    ("if __name__ == '__main__':\n    input()\ndef f(): return 1", "assert f() == 1", "correct", ""),
    (
        "import sys\nprint('loud')\nprint('louder', file=sys.stderr)\ndef f(): return input() if 0 else 1",
        "assert f() == 1",
        "correct",
        "",
    ),
    ("open('kept', 'w').write('x')\ndef f(): return open('kept').read()", "assert f() == 'x'", "correct", ""),
    ("import os\ndef f(): return os.listdir()", "assert f() == []", "correct", ""),
    (
        "def f(x): return x",
        "def test_a():\n    assert f(1) == 1\ndef test_b():\n    assert f(2) == 3",
        "wrong result",
        "assert f(2) == 3",
    ),
    ("def f(x): return x", "from solution import f as g\ndef test_g():\n    assert g(1) == 1", "correct", ""),
    ("def f(x): return x", "from solution import *\nassert f(1) == 1", "correct", ""),
    ("def g(x): return x", "from solution import f\nassert f(1) == 1", "error", "cannot import name 'f'"),
    ("def g(x): return x", "assert f(1) == 1", "error", "NameError: name 'f' is not defined"),
    ("def f(x): return x", "assert f(1) == undefined", "error", "name 'undefined' is not defined"),
    ("def f(x) return x", "assert f(1) == 1", "error", "SyntaxError"),
    ("import numpy", "assert f(1) == 1", "error", "No module named 'numpy'"),
    ("def f(x): return 5\nraise ValueError('early')", "assert f(1) == 5", "error", "ValueError: early"),
    (CLASSES, "assert make()", "unsupported", "returned a value of type Stack; tests see plain data only"),
    ("def f(g): return g(1)", "assert f(lambda x: x) == 1", "unsupported", "the tests give f a value of type function"),
    ("def f(x): return 5", "if False:\n    f(1)", "unsupported", "the tests ask the program for nothing"),
    ("def f(x): return 5", "f(1)\nraise SystemExit(0)", "error", "SystemExit: 0"),
    ("def f(x): return 5", "f(1)\nimport os\nos._exit(0)", "unjudged", "the tests ended without a verdict"),
]


@pytest.fixture(scope="module")
def judged(sandbox: ProgramSandbox) -> Any:
    return sandbox.run_all([(Program(code), read_tests({"tests": tests})) for code, tests, _, _ in CASES])


@pytest.mark.parametrize("place", range(len(CASES)))
def test_what_becomes_of_a_program(judged: Any, place: int) -> None:
    _, _, reason, detail = CASES[place]
    assert judged[place].reason == reason, judged[place]
    assert detail in judged[place].detail


def test_tests_that_compute_too_long_are_at_fault_themselves(sandbox: ProgramSandbox) -> None:
    with ProgramSandbox(ProgramLimits(seconds=0.05, wall_seconds=300), workers=1) as impatient:
        tests = read_tests({"tests": "assert f(1) == 1\nwhile True: pass"})
        outcome = impatient.run(Program("def f(x): return x"), tests)
    assert (outcome.reason, outcome.passed) == ("unjudged", False)
    assert "the tests compute longer" in outcome.detail


HUMANEVAL = {
    "prompt": "def double(s):\n    return s + s\n\n\ndef half(s: str):\n    '''The inverse of double.'''\n",
    "entry_point": "half",
    "canonical_solution": "    return s[: len(s) // 2]\n",
    "test": "def check(candidate):\n    for s in ('', 'a', 'abc'):\n        assert candidate(double(s)) == s\n"
    "    assert half('xx') == 'x'",
}


def test_the_judge_reads_answers_of_every_shape(sandbox: ProgramSandbox) -> None:
    verifier = UnitTestVerifier(sandbox)
    right = "def half(s):\n    return s[: len(s) // 2]"
    texts = [
        HUMANEVAL["canonical_solution"],
        f"So:\n```python\n{right}\n```\nThat is it.",
        f"```python\n{HUMANEVAL['prompt']}{HUMANEVAL['canonical_solution']}```",
        "    return s\n",
        "def double(s): return s\ndef half(s): return s",
        "I do not know.",
        "",
    ]
    judgements = verifier([Answer([], text, HUMANEVAL) for text in texts])
    assert [one.reason for one in judgements] == [
        *["correct"] * 3,
        *["wrong result"] * 3,  # of the last, only the prompt is Python
        "no program",
    ]
    assert [one.score for one in judgements] == [1.0] * 3 + [0.0] * 4
    assert verifier.remarks() == []


def test_a_row_whose_own_solution_fails_is_named(sandbox: ProgramSandbox) -> None:
    wrong = {"tests": "assert f(1) == 2", "code": "def f(x): return x"}
    callback = {"tests": "assert f(print) == 2", "code": "def f(x): return 2"}
    problems = UnitTestVerifier(sandbox).check_solutions(
        [
            ("a.jsonl:1", HUMANEVAL),
            ("a.jsonl:2", wrong),
            ("a.jsonl:3", callback),
            ("a.jsonl:4", {"tests": "assert f(1)"}),
        ]
    )
    assert [problem.partition(": ")[0] for problem in problems] == ["a.jsonl:2", "a.jsonl:3"]
    assert "the row's own solution does not pass its tests: wrong result" in problems[0]
    assert "only plain data can be given" in problems[1]


def test_what_could_not_be_judged_is_counted(sandbox: ProgramSandbox) -> None:
    verifier = UnitTestVerifier(sandbox)
    row = {"tests": "assert f(lambda: 1) == 1"}
    verifier([Answer([], "def f(x): return x()", row), Answer([], "def f(x): return 1", row)])
    (remark,) = verifier.remarks()
    assert remark.startswith(
        "2 programs could not be judged and count as wrong:\n  2 x unsupported: the tests give f a value"
    )


@pytest.mark.parametrize("place", ["linux", "darwin"])
def test_a_machine_without_isolation_refuses_and_says_what_helps(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(sys, "platform", place)
    monkeypatch.setattr(isolation.shutil, "which", lambda name: None)
    monkeypatch.setattr(isolation.platform, "machine", lambda: "riscv64")
    with pytest.raises(NoIsolationError, match="run only in a sandbox, and this machine offers none") as caught:
        ProgramSandbox()
    advice = "apt-get install bubblewrap" if place == "linux" else "run this on Linux"
    assert advice in str(caught.value)


def test_an_interpreter_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="cannot be run as the interpreter of the sandbox"):
        ProgramSandbox(python=str(tmp_path / "python"))


def test_a_killed_cell_is_replaced(sandbox: ProgramSandbox) -> None:
    tests = read_tests({"tests": "assert f(1) == 1"})
    program = Program("def f(x): return x")
    assert sandbox.run(program, tests).passed
    for group in sandbox.process_groups():
        os.killpg(group, 9)
    assert sandbox.run(program, tests).passed


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.slow
def test_an_ordinary_user_has_the_same_sandbox(tmp_path: Path) -> None:
    """By another interpreter, which everybody may read, without any of Burnish's dependencies but this part's."""
    python = Path("/usr/bin/python3")
    source = Path(__file__).parents[2] / "src"
    code = """
import sys
from burnish.rewards.programs.sandbox import Program, ProgramSandbox
from burnish.rewards.programs.unit_tests import read_tests

program = Program("import os\\ndef f(x): return (x, os.getuid() == 0)")
with ProgramSandbox(kind=sys.argv[1]) as sandbox:
    print(sandbox.run(program, read_tests({"tests": "assert f(1) == (1, False)"})).reason)
"""
    asked = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if not python.exists() or subprocess.run(asked).returncode:
        pytest.skip("no interpreter that everybody may read")
    for kind in isolation.KINDS:
        if isolation.missing(kind) is not None:
            continue
        done = subprocess.run(
            [python, "-c", code, kind],
            user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True, text=True, timeout=300,
            env={"PYTHONPATH": str(source), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert done.stdout == "correct\n", done.stderr


@pytest.mark.slow
def test_humaneval_own_solutions_pass_and_empty_ones_fail(sandbox: ProgramSandbox, shared_data: Path) -> None:
    with gzip.open(shared_data / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    verifier = UnitTestVerifier(sandbox)
    assert verifier.check_solutions([(row["task_id"], row) for row in rows]) == []
    assert not any(one.correct for one in verifier([Answer([], "    return None\n", row) for row in rows]))


VOTES = [
    ("def f(x): return {x, 'b'}", "a"),
    ("def f(x): return {'b', x} | set()", "a"),
    ("def f(x): return {x}", "other"),
    ("def f(x): raise KeyError(x)", "raises"),
    ("def f(x):\n    if x == 'a': return {'a', 'b'}\n    raise ValueError(x)", "half"),
    ("def f(x): raise KeyError(x, 'and more')", "raises"),
    ("def g(x): return 1", None),
    ("prose", None),
]


def test_programs_vote_by_what_they_do_and_not_by_what_is_expected(sandbox: ProgramSandbox) -> None:
    # What is expected is wrong for all of them; a test that fails does not keep the others from running.
    row = {"prompt": "Write f.", "tests": ["assert f('a') == 0", "assert f('c') == 1\nassert f('d') == 2"]}
    answers = [Answer([], f"```python\n{code}\n```", row) for code, _ in VOTES]
    verifier = UnitTestVerifier(sandbox)
    assert not any(one.correct for one in verifier(answers))
    election = verifier.elect([answers[place] for place in (2, 0, 3, 1, 4, 6, 7)])
    assert (election.winner, election.votes, election.voters) == (1, 2, 5)
    parties = {tuple(VOTES[place][1] or "" for place in party) for party in verifier.elect(answers).parties}
    assert parties == {("a", "a"), ("other",), ("raises", "raises"), ("half",)}


def test_the_functions_of_humaneval_vote_too(sandbox: ProgramSandbox) -> None:
    bodies = [
        "    return s[: len(s) // 2]\n",
        "    return s[len(s) // 2 :]\n",
        "    return s\n",
        "    return 'x' * 9\n",
    ]
    answers = [Answer([], body, HUMANEVAL) for body in bodies]
    election = UnitTestVerifier(sandbox).elect(answers)
    assert (election.winner, election.votes) == (0, 2)  # halves of a doubled text are equal


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({1, 2, 30}, {30, 2, 1}, True),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": True}, True),
        ([1, 2], [2, 1], False),
        ((1,), [1], False),
        ("1", 1, False),
        (float("inf"), 1e308, False),
        ({(1, "x"): {2, 3}}, {(1, "x"): {3, 2}}, True),
        (2**80, 2**80 + 1, False),
    ],
)
def test_the_canonical_form_is_equal_for_equal_values(one: Any, other: Any, equal: bool) -> None:
    assert (canonical(encode(one)) == canonical(encode(other))) is equal
