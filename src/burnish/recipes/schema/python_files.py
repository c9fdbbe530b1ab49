"""A Python file of the user's: what it holds, read from its syntax without running it, and a function of it."""

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError
from burnish.files import open_regular

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


def imported_files(script: Path) -> set[Path]:
    """The files beside a script that it imports by name, itself or through each other; it is not among them."""
    found: set[Path] = set()
    pending = [script]
    while pending:
        file = pending.pop()
        try:
            tree = parse(file)
        except (BurnishError, OSError):
            continue
        for folder, name in _imports(tree, script.parent, file.parent):
            steps = name.split(".")
            places = [folder.joinpath(*steps[:count]) for count in range(1, len(steps) + 1)]
            files = [one for place in places for one in (place.with_name(f"{place.name}.py"), place / "__init__.py")]
            new = {one for one in files if _is_there(one, script.parent)} - found - {script}
            found |= new
            pending += new
    return found


def _is_there(file: Path, root: Path) -> bool:
    """Whether it is a file below a folder."""
    with suppress(OSError):  # a name that is too long for one
        return file.is_relative_to(root) and file.is_file()
    return False


def _imports(tree: ast.Module, root: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """The names that a file in `folder` may import, each with the folder in which it is looked for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((root, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = [root, folder, *folder.parents][node.level] if node.level <= len(folder.parents) + 1 else root
            module = [node.module] if node.module else []
            yield from ((start, ".".join([*module, alias.name])) for alias in node.names if alias.name != "*")
            yield from ((start, name) for name in module)


def check_function(file: Path, name: str, given: Sequence[str]) -> None:
    """Raise BurnishError where the file is not Python, or surely has no such function to call.

    given: what it is called with, in this order. A function that is decorated, or bound in another way than by `def`,
    is known only when it is loaded.
    """
    tree = parse(file)
    bound = list(_bound(tree))
    if name not in bound and "*" not in bound:
        there = sorted(known for known in set(bound) if not known.startswith("_"))
        raise BurnishError(f"{file}: has no function '{name}'; it has: {', '.join(there) or 'none'}")
    written = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    if written and len(written) == bound.count(name) and "*" not in bound and not written[-1].decorator_list:
        function = written[-1]
        where = f"{file}:{function.lineno}"
        _check_returns(
            where, name, given, later=isinstance(function, ast.AsyncFunctionDef), many=any(_yields(function.body))
        )
        _check_call(where, name, _signature(function.args), given)


def _check_returns(where: str, name: str, given: Sequence[str], *, later: bool, many: bool) -> None:
    """Raise BurnishError for a function that returns a coroutine or a generator instead of a value."""
    if later or many:
        kind = "async def" if later else "a generator (it has yield)"
        raise BurnishError(
            f"{where}: {name} is {kind}, which gives no value when it is called; write a plain function "
            f"`def {name}({', '.join(given)})` that returns one"
        )


def _check_call(where: str, name: str, signature: inspect.Signature, given: Sequence[str]) -> None:
    try:
        signature.bind(*given)
    except TypeError as error:
        raise BurnishError(
            f"{where}: {name}{signature} is called with ({', '.join(given)}), and that does not fit: {error}; write "
            f"`def {name}({', '.join(given)})`"
        ) from None


def _signature(arguments: ast.arguments) -> inspect.Signature:
    """The parameters of a function as its syntax has them, without their types."""
    kinds = inspect.Parameter

    def parameter(one: ast.arg, kind: Any, default: ast.expr | None = None) -> inspect.Parameter:
        return kinds(one.arg, kind, default=kinds.empty if default is None else _Shown(ast.unparse(default)))

    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
    found = [
        parameter(one, kinds.POSITIONAL_ONLY if one in arguments.posonlyargs else kinds.POSITIONAL_OR_KEYWORD, default)
        for one, default in zip(positional, defaults, strict=True)
    ]
    found += [parameter(arguments.vararg, kinds.VAR_POSITIONAL)] if arguments.vararg else []
    found += [
        parameter(one, kinds.KEYWORD_ONLY, default)
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    found += [parameter(arguments.kwarg, kinds.VAR_KEYWORD)] if arguments.kwarg else []
    return inspect.Signature(found)


class _Shown(str):
    """A default as it is written in the file, shown without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _yields(nodes: Sequence[ast.AST]) -> Iterator[bool]:
    """True for each `yield` of a function's body that is its own, not that of a function inside of it."""
    for node in nodes:
        if isinstance(node, ast.Yield | ast.YieldFrom):
            yield True
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _yields(list(ast.iter_child_nodes(node)))


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that a module binds itself, not inside of its functions; `*` where it imports all of another's."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.alias):
        yield node.asname or node.name.partition(".")[0]
    elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        for child in ast.iter_child_nodes(node):
            yield from _bound(child)


def parse(file: Path) -> ast.Module:
    """The syntax tree of a file. Raises BurnishError naming the line where it is not Python."""
    try:
        with open_regular(file) as source:
            text = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise BurnishError(f"{file}: cannot be read: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise BurnishError(f"{file}: over {MAX_BYTES:,} bytes; expected a Python file")
    try:
        return ast.parse(text)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        raise BurnishError(f"{file}: fails when it is loaded: SyntaxError: {error.msg}{where}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a null character; nested too deeply
        raise BurnishError(f"{file}: fails when it is loaded: {error or 'nested too deeply'}") from error


def load_function(file: Path, name: str, given: Sequence[str]) -> Any:
    """The function `name` of a Python file. Raises BurnishError where the file fails, or has none to call as given."""
    spec = importlib.util.spec_from_file_location(f"burnish_reward_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise BurnishError(f"{file}: not a Python file; a judge needs one, ending in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BurnishError(f"{file}: fails when it is loaded: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise BurnishError(f"{file}: has no function '{name}'; it has: {', '.join(there) or 'none'}")
    # Of an object that is called it is its `__call__`.
    ways = (function, type(function).__call__)
    later = any(inspect.iscoroutinefunction(way) for way in ways)
    many = any(inspect.isgeneratorfunction(way) or inspect.isasyncgenfunction(way) for way in ways)
    _check_returns(str(file), name, given, later=later, many=many)
    with suppress(ValueError, TypeError):  # one written in C that does not say what it takes
        signature = inspect.signature(function)
        _check_call(str(file), name, signature, given)
    return function
