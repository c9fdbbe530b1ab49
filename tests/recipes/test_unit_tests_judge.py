"""The judge `unit_tests` as a recipe has it: what its rows lack is said by file and line, and it judges."""

import pytest
from pydantic import TypeAdapter, ValidationError

from burnish.datasets.rows import RowPlace, Task
from burnish.errors import BurnishError, DataError
from burnish.generation.answer import Answer
from burnish.recipes.schema.judges import JudgeConfig, check_judges, check_rows, open_judges
from burnish.rewards.judgement import judge_answers
from burnish.rewards.programs.isolation import NoIsolationError

ADAPTER: TypeAdapter[list[JudgeConfig]] = TypeAdapter(list[JudgeConfig])
ROWS = [
    {"prompt": "Write add.", "tests": ["assert add(1, 2) == 3"], "code": "def add(a, b): return a + b"},
    {"prompt": "Write sub.", "tests": ["assert sub(1, 2) == 3"], "code": "def sub(a, b): return a - b"},
]


def judges(**keys: object) -> list[JudgeConfig]:
    return ADAPTER.validate_python([{"type": "unit_tests", "workers": 1, **keys}])


def task(line: int, row: dict[str, object]) -> Task:
    return Task([{"role": "user", "content": str(row.get("prompt"))}], row, place=RowPlace("tasks.jsonl", line))


def test_a_row_that_cannot_be_judged_is_named_by_file_and_line() -> None:
    with pytest.raises(DataError, match=r"tasks.jsonl:7: tests is no Python: .* in line 1"):
        check_rows([task(1, ROWS[0]), task(7, {"tests": "assert add(1"})], judges())


def test_solutions_are_checked_and_answers_judged() -> None:
    config = judges(timeout_seconds=2, memory_limit="256MB")
    try:
        check_judges(None, config, [task(1, ROWS[0])])  # type: ignore[arg-type]
    except NoIsolationError as error:
        pytest.skip(str(error))
    with pytest.raises(DataError, match=r"tasks.jsonl:2: the row's own solution does not pass its tests: wrong result"):
        check_judges(None, config, [task(number, row) for number, row in enumerate(ROWS, 1)])  # type: ignore[arg-type]
    with open_judges(None, config) as opened:  # type: ignore[arg-type]
        answers = [Answer([], f"```python\ndef add(a, b): return a {sign} b\n```", ROWS[0]) for sign in "+-"]
        judged = judge_answers(opened, answers)
    assert [one and one.correct for one in judged[0]] == [True, False]


@pytest.mark.parametrize("keys", [{"timeout_seconds": 0}, {"memory_limit": "lots"}, {"workers": 0}, {"tests": "x"}])
def test_a_wrong_key_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises((ValidationError, BurnishError)):
        judges(**keys)
