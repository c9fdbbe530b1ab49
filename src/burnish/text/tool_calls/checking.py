"""Whether a call is one of the tools that there are, with arguments by its JSON schema.

Schemas come from clients and servers, arguments from a model: nothing is fetched (`$ref` stays within the schema), and
no expression is matched for long.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import regex

from burnish.errors import BurnishError
from burnish.text.tool_calls.values import ToolCall, typed

PATTERN_SECONDS = 0.2
"""For all expressions of one argument's schema together, nearly: of each match."""
_SHOWN = 200


class Tools:
    """Definitions of tools, as chat templates read them, and the check of calls against them."""

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        """Raises BurnishError naming the tool: twice the same name, or parameters that are no JSON schema."""
        self.definitions = list(definitions)
        self.parameters: dict[str, Mapping[str, Any]] = {}
        for number, definition in enumerate(definitions):
            function = definition.get("function")
            if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
                raise BurnishError(f"tools[{number}]: expected a function with a name; others are not called here")
            name = function["name"]
            if name in self.parameters:
                raise BurnishError(f"tools[{number}]: a second tool named {name!r}; give it another name")
            self.parameters[name] = function.get("parameters") or {"type": "object", "properties": {}}
            if problem := schema_problem(self.parameters[name]):
                raise BurnishError(f"tools[{number}] ({name}): parameters are no JSON schema: {problem}")

    @property
    def names(self) -> list[str]:
        return list(self.parameters)

    def checked(self, call: ToolCall) -> tuple[ToolCall, str | None]:
        """The call with its arguments in the schema's types, and what is wrong with it; None where nothing is."""
        parameters = self.parameters.get(call.name)
        if parameters is None:
            return call, f"there is no tool {call.name[:_SHOWN]!r}; there are: {', '.join(self.names) or 'none'}"
        call = typed(call, parameters)
        return call, argument_problem(call.arguments, parameters)


def require() -> None:
    """Raise BurnishError where jsonschema is not installed."""
    if importlib.util.find_spec("jsonschema") is None:
        raise BurnishError("tools need jsonschema: pip install 'burnish[agents]'")


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a JSON schema; None where nothing is."""
    require()
    from jsonschema.exceptions import SchemaError

    if schema.get("type", "object") != "object":
        return f"of type {schema['type']!r}; expected object"
    try:
        _validator_class().check_schema(schema, format_checker=None)
    except SchemaError as error:
        return f"{'.'.join(map(str, error.absolute_path))}: {error.message[:_SHOWN]}".removeprefix(": ")
    except RecursionError:
        return "nested too deeply"
    for pattern in _patterns(schema):
        try:
            regex.compile(pattern)
        except (regex.error, TypeError) as error:
            return f"pattern {pattern!r}: {error}"
    return None


def argument_problem(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """What is wrong with the arguments of a call, the argument named; None where nothing is."""
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        # An empty registry: a schema that refers to an address would have it fetched else.
        validator = _validator_class()(schema, registry=Registry())
        error = best_match(validator.iter_errors(dict(arguments)))
    except (Unresolvable, RecursionError, TimeoutError) as failure:
        return f"the tool's schema cannot be followed: {str(failure)[:_SHOWN] or 'nested too deeply'}"
    if error is None:
        return None
    where = ".".join(map(str, error.absolute_path))
    return f"{where}: {error.message[:_SHOWN]}" if where else error.message[:_SHOWN]


@lru_cache(maxsize=1)
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    return extend(Draft202012Validator, {"pattern": _pattern, "patternProperties": _pattern_properties})


def _matches(pattern: str, text: str) -> bool:
    return regex.search(pattern, text, timeout=PATTERN_SECONDS) is not None


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not _matches(pattern, instance):
        yield ValidationError(f"{instance[:_SHOWN]!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, inner in patterns.items():
            for key, value in instance.items():
                if _matches(pattern, key):
                    yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _patterns(schema: Any) -> Iterator[str]:
    """Every expression of a schema, those in the names of properties too."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        inner = schema.get("patternProperties")
        if isinstance(inner, Mapping):
            yield from (key for key in inner if isinstance(key, str))
        for value in schema.values():
            yield from _patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _patterns(value)
