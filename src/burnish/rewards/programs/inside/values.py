"""Plain data as JSON, so that a test looks at builtin values only, whatever a program calls its own.

`decode` makes values of exactly the types below, never of a class that the program wrote: there is no `__eq__`,
`__hash__`, `__bool__` or `__len__` of the program's in the process that tests it. A value of a subclass travels as its
base: a named tuple as a tuple, a Counter as a dict. What is not plain data is a TypeError.

JSON alone is not enough, since a test tells a tuple from a list: other types are objects with one key, their name.
"""

import datetime
import decimal
import fractions
import math
import uuid
from collections import OrderedDict, deque
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from itertools import islice
from typing import Any

MAX_DEPTH = 100
MAX_ITEMS = 100_000
"""Of a generator or another iterator, which need not end."""
_EXACT_WHOLE = 2**53


def encode(value: object, depth: int = 0) -> object:
    """A value as what `json.dumps` takes. Raises TypeError for what is no plain data, ValueError for too much of it."""
    if value is None or value is True or value is False:
        return value
    if depth > MAX_DEPTH:
        raise ValueError(f"a value is nested more than {MAX_DEPTH} deep, or holds itself")
    below = depth + 1
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        whole = int.__int__(value)
        return whole if abs(whole) <= _EXACT_WHOLE else {"int": hex(whole)}
    if isinstance(value, float):
        number = float.__float__(value)
        return number if math.isfinite(number) else {"float": repr(number)}
    if isinstance(value, list):
        return [encode(item, below) for item in value]
    if isinstance(value, OrderedDict):  # tells orders apart when compared with another
        return {"OrderedDict": [[encode(key, below), encode(item, below)] for key, item in value.items()]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, below), encode(item, below)] for key, item in value.items()]}
    for kind, name in _COLLECTIONS.items():
        if isinstance(value, kind):
            return {name: [encode(item, below) for item in value]}  # type: ignore[attr-defined]
    if isinstance(value, range):
        return {"range": [encode(part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, bytes | bytearray):
        return {"bytearray" if isinstance(value, bytearray) else "bytes": bytes(value).hex()}
    if isinstance(value, complex):
        return {"complex": [encode(value.real), encode(value.imag)]}
    for kind in _TEXTS:
        if isinstance(value, kind):
            return {kind.__name__: value.isoformat() if hasattr(value, "isoformat") else str(value)}
    if isinstance(value, datetime.timedelta):
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, Iterator):
        items = list(islice(value, MAX_ITEMS + 1))
        if len(items) > MAX_ITEMS:
            raise ValueError(f"an iterator gives more than {MAX_ITEMS:,} items")
        return {"iterator": [encode(item, below) for item in items]}
    raise TypeError(f"a value of type {type(value).__name__}")


def decode(value: Any, depth: int = 0) -> Any:
    """The inverse of `encode`. Raises ValueError, TypeError, KeyError or ArithmeticError for what it never makes."""
    if depth > 2 * MAX_DEPTH:
        raise ValueError("a value is nested too deep")
    below = depth + 1
    if isinstance(value, list):
        return [decode(item, below) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind in ("dict", "OrderedDict"):
        pairs = [(decode(key, below), decode(item, below)) for key, item in content]
        return dict(pairs) if kind == "dict" else OrderedDict(pairs)
    if isinstance(content, list):
        return _FROM_LIST[kind]([decode(item, below) for item in content])
    return _FROM_TEXT[kind](content)


def canonical(encoded: Any) -> str:
    """What `encode` gives as a text that is the same for values that are equal, in whatever order a set or dict is."""
    if isinstance(encoded, list):
        return f"[{','.join(map(canonical, encoded))}]"
    if isinstance(encoded, dict):
        ((kind, content),) = encoded.items()
        if kind in ("dict", "set", "frozenset"):
            return f"{kind}{sorted(map(canonical, content))}"
        return f"{kind}:{canonical(content)}"
    if isinstance(encoded, bool | int | float):
        return repr(int(encoded)) if encoded == int(encoded) else repr(encoded)
    return repr(encoded)


def update(old: object, new: object) -> None:
    """Give a list, dict, set, bytearray or deque what a program made of its copy."""
    if isinstance(old, list | bytearray) and type(old) is type(new):
        old[:] = new
    elif isinstance(old, dict | set | deque) and type(old) is type(new):
        old.clear()
        old.extend(new) if isinstance(old, deque) else old.update(new)


_COLLECTIONS: dict[type, str] = {
    tuple: "tuple",
    frozenset: "frozenset",
    set: "set",
    deque: "deque",
    KeysView: "keys",
    ValuesView: "values",
    ItemsView: "items",
}
_TEXTS: tuple[Any, ...] = (
    datetime.datetime,
    datetime.date,
    datetime.time,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
)
_FROM_TEXT: dict[str, Any] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction,
    "UUID": uuid.UUID,
}
_FROM_LIST: dict[str, Any] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
    "items": lambda items: dict(items).items(),
    "range": lambda parts: range(*parts),
    "complex": lambda parts: complex(*parts),
    "timedelta": lambda parts: datetime.timedelta(*parts),
    "iterator": iter,
}
