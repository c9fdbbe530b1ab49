"""What a Python file of the user's holds, read from its syntax: nothing in it runs."""

import ast
import sys
from pathlib import Path

from burnish.errors import BurnishError

MAX_BYTES = 2**20


def imported_packages(file: Path) -> set[str]:
    """Packages that the file imports by name, without the standard library and its neighbours; none if unreadable."""
    try:
        tree = parse(file)
        neighbours = {path.stem for path in file.parent.iterdir()}
    except (BurnishError, OSError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - neighbours - {"burnish"}


def check_function(file: Path, name: str) -> None:
    """Raise BurnishError where the file is not Python, or surely binds no such name at its top level."""
    bound = set()
    for statement in parse(file).body:
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.add(node.id)
            elif isinstance(node, ast.alias):
                if node.name == "*":
                    return
                bound.add(node.asname or node.name.partition(".")[0])
    if name not in bound:
        raise BurnishError(f"{file}: has no function '{name}'; it has: {', '.join(sorted(bound)) or 'none'}")


def parse(file: Path) -> ast.Module:
    """The syntax tree of a file. Raises BurnishError naming the line where it is not Python."""
    try:
        with file.open("rb") as source:
            text = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise BurnishError(f"{file}: cannot be read: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise BurnishError(f"{file}: over {MAX_BYTES:,} bytes; expected a Python file")
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise BurnishError(f"{file}:{error.lineno}: not valid Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a null character; nested too deeply
        raise BurnishError(f"{file}: not valid Python: {error or 'nested too deeply'}") from error
