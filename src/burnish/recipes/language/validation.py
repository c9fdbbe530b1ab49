"""Checks a recipe's values against pydantic models and words every failure for the person who wrote it.

Values go through pydantic's JSON mode: it is strict about types ("3" is not a number, 1.5 is not a whole number) and
still lets a list stand for a tuple, which strict Python mode refuses.
"""

import json
import math
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from burnish.recipes.language.places import (
    MAX_SHOWN,
    KeyPath,
    Problem,
    Source,
    clipped,
    did_you_mean,
    dotted,
    in_order,
    raise_problems,
)

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], source: Source) -> Model:
    """Build `model` from the recipe's values.

    Raises:
        RecipeError: every problem found, each with its line, key path, value, expectation and, for a misspelt key or
            choice, the nearest valid one.
    """
    try:
        value = model.model_validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        # Only what is shown is worded: a file of nonsense has a hundred thousand of them.
        found = sorted(
            error.errors(include_url=False),
            key=lambda details: in_order(source.key_place(_key_path(details, source.data))),
        )
        problems = [_translate(details, model, source) for details in found[:MAX_SHOWN]]
        raise_problems(problems, source.file, further=len(found) - len(found[:MAX_SHOWN]))
        raise
    raise_problems(
        [
            Problem(source.value_place(path), path, f"got {clipped(str(number), 40)}; expected less than 2^63")
            for path, number in _whole_numbers(source.data)
            if abs(number) >= 2**63
        ],
        source.file,
    )
    return value


def _whole_numbers(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    """Every whole number below a value, with its path."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _whole_numbers(item, (*path, key))
    elif isinstance(value, int):
        yield path, value


def _translate(error: ErrorDetails, model: type[BaseModel], source: Source) -> Problem:
    path = _key_path(error, source.data)
    kind, context, value = error["type"], error.get("ctx", {}), error.get("input")
    field = _field_at(model, source.data, path)
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return Problem(source.key_place(path), path, _unknown_key(path, model, source.data))
    if kind == "missing" and isinstance(path[-1], int):
        written = _at(source.data, path[:-1])
        return Problem(source.value_place(path[:-1]), path[:-1], f"got {_shown(written)}; expected more values")
    if kind == "missing":
        text = f"missing key '{path[-1]}'{_described(field)}"
        written = _at(source.data, path[:-1])
        owner = _model_of(_annotation_at(model, source.data, path[:-1]), written)
        if isinstance(written, dict) and owner:
            unknown = [key for key in written if key not in owner.model_fields]
            text += "".join(f"; '{key}' may be meant" for key in unknown if did_you_mean(key, [str(path[-1])]))
        return Problem(source.key_place(path[:-1]), path[:-1], text)
    if kind == "union_tag_not_found":
        text = f"missing key 'type'; expected one of: {_names(context.get('expected_tags', ''))}"
        types = _union_types(_annotation_at(model, source.data, path))
        if types:
            text = f"missing key 'type'; expected one of: {', '.join(types)}"
        return Problem(source.value_place(path), path, text)
    if kind == "union_tag_invalid":
        path = (*path, "type")
        value, choices = context["tag"], _names(context["expected_tags"])
        text = f"got '{value}'{did_you_mean(str(value), choices.split(', '))} Expected one of: {choices}"
        return Problem(source.value_place(path), path, text.replace("?.", "?"))
    return Problem(
        source.value_place(path), path, f"got {_shown(value)}; {_expectation(error, value)}{_described(field)}"
    )


def _key_path(error: ErrorDetails, data: Any) -> KeyPath:
    """Pydantic's location without the tags it inserts for the members of a union."""
    path: KeyPath = ()
    current = data
    steps = error["loc"]
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        inside = (isinstance(current, dict) and step in current) or (
            isinstance(current, list) and isinstance(step, int) and step < len(current)
        )
        is_tag = isinstance(current, dict) and not last and current.get("type") == step
        if inside and not is_tag:
            current = current[step]
            path = (*path, step)
        elif last and error["type"] == "missing":
            path = (*path, step)
    return path


def _unknown_key(path: KeyPath, model: type[BaseModel], data: Any) -> str:
    key, known = str(path[-1]), list[str]()
    owner = _model_of(_annotation_at(model, data, path[:-1]), _at(data, path[:-1]))
    if owner is not None:
        known = list(owner.model_fields)
        if (reason := getattr(owner, "not_offered", {}).get(key)) is not None:
            return f"not a key here, on purpose: {reason}"
        for deeper in _paths_ending_in(owner, key):
            return f"unknown key; did you mean '{dotted(deeper)}'? Expected one of: {', '.join(known)}"
    hint = did_you_mean(key, known) or "."
    return f"unknown key{hint} Expected one of: {', '.join(known)}"


def _paths_ending_in(model: type[BaseModel], key: str) -> Iterator[KeyPath]:
    """Where below `model` a key of this name is valid: a right key on the wrong level."""
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation, {})
        if inner is not None and key in inner.model_fields:
            yield (name, key)


def _expectation(error: ErrorDetails, value: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case "int_type" | "int_from_float" | "int_parsing":
            if isinstance(value, float) and value.is_integer():
                return f"expected a whole number, write {int(value)}"
            return "expected a whole number" + _unquote(value)
        case "float_type":
            return "expected a number" + _unquote(value)
        case "finite_number":
            return "expected a finite number"
        case "bool_type":
            word = str(value).lower()
            meant = {"yes": ", write true", "on": ", write true", "no": ", write false", "off": ", write false"}
            return "expected true or false" + meant.get(word, "")
        case "string_type":
            simple = value is not None and not isinstance(value, dict | list)
            return "expected text" + (", put it in quotes" if simple else "")
        case "list_type" | "tuple_type":
            return "expected a list"
        case "model_type" | "model_attributes_type" | "dict_type" | "dataclass_type":
            return "expected a mapping (`key: value`)"
        case "literal_error" | "enum":
            choices = _names(context["expected"])
            hint = did_you_mean(value, choices.split(", ")) if isinstance(value, str) else ""
            return f"expected one of: {choices}{hint}"
        case "greater_than":
            return f"expected more than {_number(context['gt'])}"
        case "greater_than_equal":
            return f"expected at least {_number(context['ge'])}"
        case "less_than":
            return f"expected less than {_number(context['lt'])}"
        case "less_than_equal":
            return f"expected at most {_number(context['le'])}"
        case "too_short" | "string_too_short":
            return f"expected at least {context.get('min_length')} {_items(kind, context.get('min_length'))}"
        case "too_long" | "string_too_long":
            return f"expected at most {context.get('max_length')} {_items(kind, context.get('max_length'))}"
        case "string_pattern_mismatch":
            return f"expected text of the form {context['pattern']}"
        case "value_error":
            return str(context["error"])
    return error["msg"]


def _items(kind: str, count: int | None) -> str:
    noun = "character" if kind.startswith("string") else "value"
    return noun if count == 1 else noun + "s"


def _unquote(value: Any) -> str:
    """A hint for a number that was written in quotes."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return ", write it without quotes" if math.isfinite(number) else ""


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _names(listed: str) -> str:
    """Pydantic's `'a', 'b' or 'c'` -> `a, b, c`."""
    return ", ".join(part.strip().strip("'\"") for part in listed.replace(" or ", ", ").split(","))


def _shown(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return ("a mapping " if isinstance(value, dict) else "a list ") + _clip(json.dumps(value, ensure_ascii=False))
    return _clip(repr(value))


def _clip(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _described(field: FieldInfo | None) -> str:
    return f" ({field.description})" if field is not None and field.description else ""


def _at(data: Any, path: KeyPath) -> Any:
    for step in path:
        data = data[step]
    return data


def _field_at(model: type[BaseModel], data: Any, path: KeyPath) -> FieldInfo | None:
    """The field that `path` names; None for list items and free keys."""
    if not path or isinstance(path[-1], int):
        return None
    owner = _model_of(_annotation_at(model, data, path[:-1]), _at(data, path[:-1]))
    return owner.model_fields.get(path[-1]) if owner is not None else None


def _annotation_at(annotation: Any, data: Any, path: KeyPath) -> Any:
    """The declared type of the value at `path`, following the written `type` of unions; None when there is none."""
    for step in path:
        annotation = _child_annotation(annotation, data, step)
        if annotation is None:
            return None
        data = data[step]
    return annotation


def _child_annotation(annotation: Any, data: Any, step: str | int) -> Any:
    owner = _model_of(annotation, data)
    if owner is not None:
        field = owner.model_fields.get(str(step))
        return field.annotation if field is not None else None
    for member in _members(annotation):
        origin, arguments = get_origin(member), get_args(member)
        if origin is list and isinstance(step, int):
            return arguments[0]
        if origin is tuple and isinstance(step, int):
            return arguments[0 if arguments[-1] is ... else min(step, len(arguments) - 1)]
        if origin is not None and issubclass(origin, Mapping) and isinstance(step, str):
            return arguments[1]
    return None


def _members(annotation: Any) -> list[Any]:
    """The types a value may have, with `Annotated`, `Optional` and unions taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [part for argument in get_args(annotation) for part in _members(argument)]
    return [] if annotation in (None, type(None)) else [annotation]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a declared type may be."""
    return [member for member in _members(annotation) if isinstance(member, type) and issubclass(member, BaseModel)]


def _model_of(annotation: Any, data: Any) -> type[BaseModel] | None:
    """The model that a value is checked against: the only one, or the union's member that `type` names."""
    models = _models(annotation)
    if len(models) <= 1:
        return models[0] if models else None
    tag = data.get("type") if isinstance(data, dict) else None
    return next((model for model in models if tag in _types(model)), None)


def _types(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("type")
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def _union_types(annotation: Any) -> list[str]:
    return [str(name) for model in _models(annotation) for name in _types(model)]
