"""Judging Python by unit tests: an answer is right if its program, run in the sandbox, passes all tests of its row."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from burnish.generation.answer import Answer
from burnish.rewards.format import final_answer
from burnish.rewards.judgement import Judgement, verdict
from burnish.rewards.programs.sandbox import Program, ProgramOutcome, ProgramSandbox
from burnish.rewards.programs.unit_tests import UnitTests, prompt_code, read_tests
from burnish.rewards.votes import Election, elect_equal

SOLUTION_KEYS = ("canonical_solution", "code", "solution")
"""Where a row may have a program that passes its tests: HumanEval's continues the prompt, MBPP's is whole."""
_BLOCK = re.compile(r"^[ \t]*```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_PYTHON = ("python", "py", "python3")


class UnitTestVerifier:
    """Judges a completion by whether its program passes the unit tests of the row (see `read_tests`).

    Reasons: "correct", "wrong result" (an assertion fails), "error" (it raises, ends or cannot be compiled), "timeout",
    "no program", "unsupported" (the tests need more than plain data) and "unjudged" (the tests take too long, or the
    machine is too busy).
    """

    def __init__(self, sandbox: ProgramSandbox) -> None:
        self.sandbox = sandbox
        self._unjudged: Counter[str] = Counter()

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer; equal programs for equal tests, as samples often are, run once."""
        tests: dict[int, UnitTests] = {}
        jobs: dict[tuple[Program, UnitTests], None] = {}
        wanted: list[tuple[Program, UnitTests] | None] = []
        for answer in answers:
            if id(answer.row) not in tests:
                tests[id(answer.row)] = read_tests(answer.row)
            of_row = tests[id(answer.row)]
            program = extract_program(answer.text, answer.row, of_row)
            job = None if program is None else (program, of_row)
            wanted.append(job)
            if job is not None:
                jobs[job] = None
        outcomes = dict(zip(jobs, self.sandbox.run_all(list(jobs)), strict=True))
        for outcome in outcomes.values():
            if outcome.reason in ("unjudged", "unsupported"):
                self._unjudged[f"{outcome.reason}: {outcome.detail}"] += 1
        return [_no_program() if job is None else _judgement(outcomes[job]) for job in wanted]

    def elect(self, answers: Sequence[Answer], /) -> Election:
        """The answer whose program does in the calls of the row's tests what most do; what they expect does not count.

        Execution by which programs vote (Shi 2022, arXiv:2204.11454; Li 2022, arXiv:2203.07814, section 4.5).
        """
        programs = [extract_program(one.text, one.row, read_tests(one.row)) for one in answers]
        tests = [replace(read_tests(one.row), only_outputs=True) for one in answers]
        jobs = {(program, of_row): None for program, of_row in zip(programs, tests, strict=True) if program is not None}
        outcomes = dict(zip(jobs, self.sandbox.run_all(list(jobs)), strict=True))
        return elect_equal(
            [
                outcomes[program, of_row].outputs or None if program is not None else None
                for program, of_row in zip(programs, tests, strict=True)
            ]
        )

    def check_solutions(self, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """What is wrong with rows, each behind its place, whose own solution does not pass their tests."""
        jobs = [(place, (program, read_tests(row))) for place, row in rows if (program := solution(row)) is not None]
        outcomes = self.sandbox.run_all([job for _, job in jobs])
        return [
            f"{place}: the row's own solution does not pass its tests: {outcome.reason}, {outcome.detail}"
            for (place, _), outcome in zip(jobs, outcomes, strict=True)
            if not outcome.passed
        ]

    def remarks(self) -> list[str]:
        """What a person should know about the judging so far: what could not be judged."""
        if not self._unjudged:
            return []
        shown = "\n".join(f"  {count} x {what[:200]}" for what, count in self._unjudged.most_common(10))
        return [f"{self._unjudged.total():,} programs could not be judged and count as wrong:\n{shown}"]


def extract_program(completion: str, row: Mapping[str, Any], tests: UnitTests) -> Program | None:
    """The program in a completion; None where there is none.

    It is the last block of code that is marked as Python, else the last that is not marked at all; where there is no
    block, what continues a prompt that is code, or a text that defines what the tests ask for.
    """
    prompt = row["prompt"] if prompt_code(row) is not None else None
    said = final_answer(completion)
    blocks = [(language.lower(), code) for language, code in _BLOCK.findall(said)]
    for wanted in (_PYTHON, ("",)):
        for language, code in reversed(blocks):
            if language in wanted and code.strip():
                return Program(code, prompt)
    bare = re.split(r"^[ \t]*```", said, maxsplit=1, flags=re.MULTILINE)[0]
    if not bare.strip():
        return None
    if prompt is not None:
        return Program(bare, prompt)
    names = "|".join(map(re.escape, tests.names))
    defines = re.search(rf"^(?:async\s+)?(?:(?:def|class)\s+(?:{names})\b|(?:{names})\s*=)", bare, re.MULTILINE)
    return Program(bare) if defines else None


def solution(row: Mapping[str, Any]) -> Program | None:
    """The row's own program; None where it has none."""
    found = next((row[key] for key in SOLUTION_KEYS if isinstance(row.get(key), str)), None)
    if found is None:
        return None
    return Program(found, row["prompt"] if prompt_code(row) is not None else None)


def _no_program() -> Judgement:
    return verdict(False, "no program", "the completion gives no Python code")


def _judgement(outcome: ProgramOutcome) -> Judgement:
    return verdict(outcome.passed, outcome.reason, outcome.detail)
