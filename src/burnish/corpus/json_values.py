"""JSON from files that strangers made: what every reader of it can rely on.

A value that is returned can be written again as UTF-8 JSON, walked without running out of stack, and says what its text
says: no key is written twice, no number is infinite, no text holds half of a character.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

MAX_DEPTH = 128
"""Lists and objects inside each other. Python gives up at about a thousand, and every later step needs its part."""

MAX_DIGITS = 1000
"""Of a whole number: far more than anybody measures, and few enough to be read and written quickly."""

MAX_ROW_BYTES = 64 * 2**20
"""Of one row: some ten books. What is longer is rather a file without line ends."""

UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_HALF_OF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class JsonValueError(ValueError):
    """The text is JSON, but its value cannot be used; the message is the reason."""


def parse_json(text: str) -> Any:
    """Return the value that a JSON text says.

    Raises `json.JSONDecodeError` where the text is not JSON, `JsonValueError` where its value cannot be used.
    """
    try:
        value = json.loads(text, **_HOOKS)
    except RecursionError:
        raise JsonValueError(_TOO_DEEP) from None
    check_value(value, text)
    return value


def parse_json_at(text: str, position: int) -> tuple[Any, int]:
    """Return the JSON value that begins at `position` of a text, and where it ends; raises as `parse_json`."""
    try:
        value, end = _DECODER.raw_decode(text, position)
    except RecursionError:
        raise JsonValueError(_TOO_DEEP) from None
    check_value(value, text[position:end])
    return value, end


def check_value(value: object, text: str) -> None:
    """Raise JsonValueError where the value of a JSON text is too deep, or holds half of a surrogate pair."""
    # Both need a walk over the value, which few texts give a reason for.
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise JsonValueError(_TOO_DEEP)
    if _HALF_OF_A_PAIR.search(text):
        for where, found in texts(value):
            if (place := surrogate(found)) is not None:
                raise JsonValueError(f"{where or 'the text'} has half of a surrogate pair at character {place}")


def texts(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in a value, keys too, with its place: `messages[0].content`."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"a key of {where or 'the row'}", key
            yield from texts(item, f"{where}.{key}" if where else key)


def surrogate(text: str) -> int | None:
    """Return where a text has half of a surrogate pair, which no encoding of text can hold; None where it has none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def why_not_json(error: json.JSONDecodeError) -> str:
    """Say what is wrong with a text that is not JSON, and near what."""
    near = error.doc[error.pos : error.pos + 20].split("\n")[0]
    return f"{error.msg} at {near!r}" if near else f"{error.msg}, the text ends here"


def too_long(row: bytes) -> str:
    """Say what is wrong with a row that goes on beyond what is read."""
    if not row[:200].strip(b"\0"):
        return "the file has NUL bytes where there should be rows; it is damaged, copy it again"
    return f"the row is longer than {MAX_ROW_BYTES:,} bytes; write one row a line, or cut the text into several"


def not_utf8(data: bytes, error: UnicodeDecodeError, offset: int) -> str:
    """Say where `data`, which begins at byte `offset` of its file, stops being UTF-8."""
    if offset == 0 and data.startswith(UTF16_BOMS):
        return "the file is UTF-16; save it as UTF-8"
    return (
        f"byte {offset + error.start} (0x{data[error.start]:02x}) is not UTF-8; "
        "convert the file to UTF-8 (for example `iconv -f latin1 -t utf-8`)"
    )


def _is_deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            item
            for holder in level
            if isinstance(holder, list | dict)
            for item in (holder if isinstance(holder, list) else holder.values())
        ]
        if not level:
            return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonValueError(f'the key "{twice}" is written twice in one object; leave one of them out')
    return value


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonValueError(f"the number {_shortened(text)} is too large; the largest is about 1.8e308")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise JsonValueError(f"the number {_shortened(text)} has {len(text)} digits; at most {MAX_DIGITS} are read")
    return int(text)


def _not_json(constant: str) -> NoReturn:
    raise JsonValueError(f"{constant} is not JSON; write null or leave the key out")


def _shortened(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:19]}…"


_TOO_DEEP = f"maximum recursion depth exceeded: lists and objects may be nested {MAX_DEPTH} deep"
_HOOKS: dict[str, Any] = {
    "object_pairs_hook": _object,
    "parse_float": _float,
    "parse_int": _int,
    "parse_constant": _not_json,
}
_DECODER = json.JSONDecoder(**_HOOKS)
