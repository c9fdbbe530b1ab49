"""Python functions as tools: type hints give the schema, the docstring what is said of it.

A file of tools is the user's own code and runs as such. It has `TOOLS`, a list of functions; or `tools()`, which
returns such a list and is called once a conversation, for functions that share a state; or all its public functions
are tools.
"""

import asyncio
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError

from burnish.agents.tool import Tool
from burnish.errors import BurnishError

_SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Returns|Raises|Yields|Example|Examples|Note|Notes):\s*$", re.MULTILINE
)
_PARAMETER = re.compile(r"^( +)\*{0,2}(\w+)(?: ?\([^)]*\))?: *(.*(?:\n\1 +.*)*)", re.MULTILINE)


def function_tool(function: Callable[..., Any]) -> Tool:
    """A function as a tool. Raises BurnishError naming it where it has no docstring, or a parameter without a hint."""
    name = getattr(function, "__name__", "")
    where = _place(function)
    if not re.fullmatch(r"[a-zA-Z_]\w{0,63}", name):
        raise BurnishError(f"{where}: a tool needs a name of letters, digits and _; got {name!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BurnishError(f"{where}: {name} is a generator (it has yield); a tool returns one value, such as a list")
    description, described = _docstring(inspect.getdoc(function) or "")
    if not description:
        raise BurnishError(f"{where}: {name} has no docstring, so a model would not know what it does; write one")
    model = _arguments_model(function, name, where, described)
    schema = _plain(model.model_json_schema())

    def run(arguments: Mapping[str, Any]) -> Any:
        try:
            given = model.model_validate(arguments)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise BurnishError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        result = function(**{key: getattr(given, key) for key in arguments})
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    return Tool(name, description, schema, run, where)


def _arguments_model(
    function: Callable[..., Any], name: str, where: str, described: Mapping[str, str]
) -> type[BaseModel]:
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise BurnishError(f"{where}: the type hints of {name} cannot be read: {error}") from error
    fields: dict[str, Any] = {}
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise BurnishError(f"{where}: {name} has {parameter}; a tool's parameters have names, one each")
        if key not in hints:
            raise BurnishError(f"{where}: parameter {key} of {name} has no type hint; write for example {key}: str")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[key] = (hints[key], Field(default, description=described.get(key)))
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticSchemaGenerationError, TypeError, NameError) as error:
        raise BurnishError(f"{where}: a parameter of {name} has a type that JSON cannot hold: {error}") from error


def _plain(schema: Any) -> Any:
    """A schema without the titles that pydantic gives every part, which a model would have to read."""
    if isinstance(schema, dict):
        return {
            key: {name: _plain(one) for name, one in value.items()} if key in ("properties", "$defs") else _plain(value)
            for key, value in schema.items()
            if key != "title"
        }
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of a function, and of its parameters (Google's style)."""
    parts = _SECTION.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    listed = next((sections[name] for name in ("Args", "Arguments", "Parameters") if name in sections), "")
    described = {match[2]: " ".join(match[3].split()) for match in _PARAMETER.finditer(listed)}
    return " ".join(parts[0].split()), described


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)


class ToolsFile:
    """A file of tools, loaded: its code has run. Raises BurnishError where it fails, or has none."""

    def __init__(self, path: Path) -> None:
        self.path, self._module = path, _load(path)
        self.open()  # so that what is wrong is said at once

    def open(self) -> list[Tool]:
        """The tools of a new conversation."""
        factory = getattr(self._module, "tools", None)
        listed = getattr(self._module, "TOOLS", None)
        if callable(factory):
            try:
                listed = factory()
            except Exception as error:
                raise BurnishError(f"{self.path}: tools() fails: {type(error).__name__}: {error}") from error
        if listed is None:
            listed = [
                value
                for key, value in vars(self._module).items()
                if inspect.isfunction(value) and not key.startswith("_") and value.__module__ == self._module.__name__
            ]
        if not isinstance(listed, Sequence) or not listed or not all(callable(one) for one in listed):
            raise BurnishError(
                f"{self.path}: has no tools; expected functions, TOOLS = [...] or tools() that returns them"
            )
        return [function_tool(one) for one in listed]


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise BurnishError(f"{path}: no such file; expected Python with functions")
    name = f"burnish_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BurnishError(f"{path}: not a Python file; expected one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BurnishError(f"{path}: fails when it is loaded: {type(error).__name__}: {error}") from error
    return module
