"""The unit tests of a task's row, read but not run: what they are, and which of their names are the program's.

| keys of the row | what they are |
| --- | --- |
| `tests` | text, or a list of texts, with `assert`s, `check(candidate)` or functions `test_…()` |
| `test_list`, with `test_setup_code` or `test_imports` | MBPP's |
| `test`, with `entry_point` | HumanEval's: `check(candidate)` |

A name that the tests use is the program's if it is `entry_point`, if they import it from `solution`, or if it is
neither defined by the tests or by the code in the row's prompt, nor a builtin, nor a module of the standard library. So
a program cannot bring an `abs` or a `math` of its own to its tests.
"""

import ast
import builtins
import symtable
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from burnish.errors import DataError

KEYS = ("tests", "test_list", "test")
_SETUP_KEYS = ("test_setup_code", "test_imports")
_MAX_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class UnitTests:
    """The tests of a row.

    tests: code that runs in turn. setup: code before them, which is not the program's. names: what of theirs is the
    program's. modules: standard ones that they use without an import. entry_point: the function that is asked for.
    check: that function, where the tests are `check(candidate)`. functions: those of the tests that are called at the
    end. only_outputs: assertions are not checked; what the program does in the tests' calls is all that counts.
    """

    tests: tuple[str, ...]
    names: tuple[str, ...]
    setup: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    entry_point: str | None = None
    check: str | None = None
    functions: tuple[str, ...] = ()
    only_outputs: bool = False

    def message(self) -> dict[str, Any]:
        """What the tests' process is told."""
        return asdict(self)


def read_tests(row: Mapping[str, Any]) -> UnitTests:
    """The unit tests of a row. Raises DataError where it has none, or none that could ask a program for anything."""
    key = next((key for key in KEYS if row.get(key) is not None), None)
    if key is None:
        raise DataError(
            "the unit tests are missing: 'unit_tests' reads `tests`, `test_list` (MBPP) or `test` (HumanEval)"
        )
    entry_point = row.get("entry_point")
    if entry_point is not None and not (isinstance(entry_point, str) and entry_point.isidentifier()):
        raise DataError(f"entry_point is {_shown(entry_point)}; expected the name of a function")
    tests = _texts(row[key], key)
    if not any(text.strip() for text in tests):
        raise DataError(f"{key} is empty; expected Python code with assertions")
    setup = [text for name in _SETUP_KEYS if row.get(name) is not None for text in _texts(row[name], name)]
    prompt = prompt_code(row)
    if prompt is not None:
        setup.insert(0, prompt)
    for text in setup:
        _parsed(text, "the code before the tests")
    trees = [_parsed(text, key) for text in tests]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    check = any(node.name == "check" and len(node.args.args) == 1 for node in functions)
    if check and entry_point is None:
        raise DataError(f"{key} defines check(candidate), and `entry_point` does not say which function to give it")
    names, modules = _free_names([*setup, *tests], entry_point)
    if not names:
        raise DataError(
            f"{key} asks the program for nothing: every name in it is a builtin or defined there; name the function "
            "in `entry_point`"
        )
    return UnitTests(
        tests=tuple(tests),
        names=tuple(names),
        setup=tuple(setup),
        modules=tuple(modules),
        entry_point=entry_point if entry_point is not None else names[0],
        check=entry_point if check else None,
        functions=tuple(node.name for node in functions if node.name.startswith("test") and not node.args.args),
    )


def prompt_code(row: Mapping[str, Any]) -> str | None:
    """The row's prompt where it is the beginning of a program, as HumanEval's are: it defines `entry_point`."""
    prompt, entry_point = row.get("prompt"), row.get("entry_point")
    if not isinstance(prompt, str) or not isinstance(entry_point, str) or f"def {entry_point}" not in prompt:
        return None
    for text in (prompt, f"{prompt}\n    pass\n"):  # a prompt that ends with the function's first line
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        if any(isinstance(node, ast.FunctionDef) and node.name == entry_point for node in tree.body):
            return text
    return None


def _shown(value: object) -> str:
    from burnish.corpus.records import shown  # and what it imports, only where something is wrong

    return shown(value)


def _texts(value: object, key: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{key} is {_shown(value)}; expected Python code, as text or as a list of texts")
    if sum(map(len, texts)) > _MAX_CHARACTERS:
        raise DataError(f"{key} is longer than {_MAX_CHARACTERS:,} characters")
    return texts


def _parsed(text: str, key: str) -> ast.Module:
    try:
        compile(text, "<tests>", "exec")  # finds more than the parser, such as a return outside of a function
        return ast.parse(text)
    except SyntaxError as error:
        raise DataError(
            f"{key} is no Python: {error.msg} in line {error.lineno}, {_shown(error.text or text)}"
        ) from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise DataError(f"{key} is no Python: {_shown(text)}") from error


def _free_names(texts: list[str], entry_point: str | None) -> tuple[list[str], list[str]]:
    """The names that the tests use without defining them: the program's, and modules of the standard library."""
    code = "\n".join(texts)
    try:
        table = symtable.symtable(code, "<tests>", "exec")
    except SyntaxError as error:
        raise DataError(f"the unit tests are no Python: {error.msg} in line {error.lineno}") from error
    defined = {
        one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported() or one.is_namespace()
    }
    used = dict.fromkeys(_global_names(table))
    nodes = list(ast.walk(ast.parse(code)))
    of_attributes = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    alone = {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in of_attributes}
    free = [name for name in used if name not in defined and not hasattr(builtins, name)]
    modules = [name for name in free if name in sys.stdlib_module_names and name not in alone]
    imported = (node.names for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "solution")
    asked = [*(alias.name for names in imported for alias in names if alias.name != "*"), *free]
    names = [name for name in dict.fromkeys(asked) if name not in modules and name != entry_point]
    return ([entry_point] if entry_point is not None else []) + names, modules


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    """Every name that is looked up among the globals, in a scope and in those within it."""
    for one in table.get_symbols():
        if one.is_referenced() and (table.get_type() == "module" or one.is_global()):
            yield one.get_name()
    for child in table.get_children():
        yield from _global_names(child)
