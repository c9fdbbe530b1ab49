"""What the tests of a row are, which names of theirs are the program's, and which program an answer gives."""

import re
from typing import Any

import pytest

from burnish.errors import DataError
from burnish.rewards.programs.inside.program import choose
from burnish.rewards.programs.judge import extract_program, solution
from burnish.rewards.programs.sandbox import Program
from burnish.rewards.programs.unit_tests import prompt_code, read_tests

PROMPT = (
    'import math\n\n\ndef area(r):\n    return math.pi * r * r\n\n\ndef radius(a):\n    """The inverse of area."""\n'
)
HUMANEVAL = {
    "prompt": PROMPT,
    "entry_point": "radius",
    "test": "def check(candidate):\n    assert abs(area(candidate(3)) - 3) < 1e-6\n",
    "canonical_solution": "    return math.sqrt(a / math.pi)\n",
}


@pytest.mark.parametrize(
    ("row", "names", "modules"),
    [
        ({"tests": "assert add(1, 2) == 3"}, ("add",), ()),
        ({"tests": ["assert f(1) == g(2)", "assert len(f(3)) == 2"]}, ("f", "g"), ()),
        ({"tests": "assert math.isclose(f(2), 4)"}, ("f",), ("math",)),
        ({"tests": "import math as m\nassert m.isclose(f(2), 4)"}, ("f",), ()),
        ({"tests": "assert bisect([1, 2], 1) == 1"}, ("bisect",), ()),
        ({"tests": "assert sum(10, 15) == 6", "entry_point": "sum"}, ("sum",), ()),
        ({"tests": "def test_it():\n    x = f(1)\n    assert [y for y in x] == [z]\nz = 3"}, ("f",), ()),
        ({"test_list": ["assert f(x) == 1"], "test_setup_code": "x = 5"}, ("f",), ()),
        ({"test_list": ["assert math.floor(f(1)) == 1"], "test_imports": ["import math"]}, ("f",), ()),
        ({"test": "from solution import f as g, sum\nassert g(1) == sum(1)"}, ("f", "sum"), ()),
        ({"tests": "from solution import *\ndef test_f():\n    assert f(1) == 1"}, ("f",), ()),
        (HUMANEVAL, ("radius",), ()),
    ],
)
def test_the_names_that_are_the_programs(row: dict[str, Any], names: tuple[str, ...], modules: tuple[str, ...]) -> None:
    tests = read_tests(row)
    assert (tests.names, tests.modules) == (names, modules)


def test_the_functions_that_are_called() -> None:
    assert read_tests(HUMANEVAL).check == "radius"
    assert read_tests({"tests": "def test_a(): assert f(1)\ndef helper(): f(2)\ndef test_b(x): f(3)"}).functions == (
        "test_a",
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": 5}, "the unit tests are missing: 'unit_tests' reads `tests`, `test_list`"),
        ({"tests": 5}, "tests is 5; expected Python code"),
        ({"tests": ["assert f(1)", 5]}, "expected Python code, as text or as a list"),
        ({"tests": "  "}, "tests is empty"),
        ({"tests": "assert f(1) =="}, "tests is no Python: invalid syntax in line 1"),
        ({"tests": "return f(1)"}, "no Python: 'return' outside function"),
        ({"tests": "assert f(1)\0"}, "tests is no Python"),
        ({"tests": "(" * 3000 + ")" * 3000}, "tests is no Python"),
        ({"tests": "assert True"}, "asks the program for nothing"),
        ({"tests": "assert len('a') == 1"}, "name the function in `entry_point`"),
        ({"test": "def check(candidate):\n    assert candidate(1)"}, "does not say which function to give it"),
        ({"tests": "assert f(1)", "entry_point": "f(1)"}, "expected the name of a function"),
    ],
)
def test_a_row_without_tests_to_use_says_why(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_tests(row)


def test_a_prompt_that_is_code() -> None:
    assert prompt_code(HUMANEVAL) == PROMPT
    assert prompt_code({"prompt": "def f(x):", "entry_point": "f"}) == "def f(x):\n    pass\n"
    for prompt in ("Write def f(x).", "def g(x):\n    pass\n", None, [{"role": "user", "content": "def f(x):"}]):
        assert prompt_code({"prompt": prompt, "entry_point": "f"}) is None
    assert solution(HUMANEVAL) == Program(HUMANEVAL["canonical_solution"], PROMPT)
    assert solution({"code": "def f(): pass"}) == Program("def f(): pass")
    assert solution({"tests": "assert f()"}) is None


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("```python\nf = 1\n```", "f = 1\n"),
        ("First\n```python\nf = 1\n```\nbetter\n```py\nf = 2\n```\n```\nf = 3\n```", "f = 2\n"),
        ("```\nf = 1\n```\nprints\n```text\n1\n```", "f = 1\n"),
        ("```python\nf = 1", "f = 1"),
        ("<think>```python\nf = 0\n```</think><answer>```python\nf = 1\n```</answer>", "f = 1\n"),
        ("  ```python\n  f = 1\n  ```", "  f = 1\n"),
        ("def f(x):\n    return 1", "def f(x):\n    return 1"),
        ("f = lambda x: 1\n```", "f = lambda x: 1\n"),
        ("I would write a function f.", None),
        ("```bash\nls\n```", None),
        ("```python\n\n```", None),
        ("", None),
    ],
)
def test_the_program_in_an_answer(completion: str, code: str | None) -> None:
    row = {"tests": "assert f(1) == 1"}
    assert extract_program(completion, row, read_tests(row)) == (None if code is None else Program(code))


@pytest.mark.parametrize(
    "code",
    [
        "    return math.sqrt(a / math.pi)\n",
        "    return math.sqrt(a / math.pi)\n\n\nprint(radius(3))\n\ndef next_one(x):\n    '''An unfinished",
        "    return math.sqrt(a / math.pi)\nAnd that is all there is to say.",
        "def radius(a):\n    return math.sqrt(a / math.pi)\n",
        "def radius(a): return (a / area(1)) ** 0.5",
        PROMPT + "    return math.sqrt(a / math.pi)\n",
        "import math\nradius = lambda a: math.sqrt(a / math.pi)\n",
    ],
)
def test_an_answer_continues_its_prompt_or_writes_the_function_anew(code: str) -> None:
    namespace: dict[str, Any] = {}
    exec(choose(code, PROMPT, "radius"), namespace)
    assert namespace["radius"](12.0) == pytest.approx(1.9544100476)
    if "def area" in PROMPT:
        assert namespace["area"](1) == pytest.approx(3.14159265)
