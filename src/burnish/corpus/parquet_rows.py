"""Rows of Parquet files as JSON would have them.

Notable choices:
- a table has one column for each key that any of its objects has, so that the others have it too, as null. Those nulls
  are left out of objects at every depth; null stays where a JSON schema means it (`default`, `const`, an `enum`), where
  a message calls a tool and says nothing, and as an element of a list;
- dates, times and bytes that are text become text, decimal numbers become numbers;
- a small file may say that it holds any amount of the same. What is out of all proportion is refused before it is read.
"""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.corpus.json_values import MAX_DEPTH
from burnish.errors import BurnishError, DataError

if TYPE_CHECKING:
    from pyarrow import DataType, Field, Schema
    from pyarrow.parquet import FileMetaData

MAX_RATIO = 1000
"""Bytes that one byte of a file may become. Text is compressed by about 3, a column of equal values by 100."""

FREE_BYTES = 64 * 2**20
"""What any file may become."""

MAX_VALUES = 100
"""Values that one byte of a file may stand for; a column of 20 million zeros has 300."""

FREE_VALUES = 2**24
"""What any file may hold."""

_BATCH_BYTES = 256 * 2**20
_BATCH_ROWS = 1024
_SCHEMA_NULLS = ("default", "const")

Convert = Callable[[Any], Any]


class _BadValueError(ValueError):
    """A value that JSON cannot hold; the message is the reason."""


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each row with its number, or the reason why it cannot be used.

    Raises DataError where the file is damaged, is of impossible size, or has a column that is not text or numbers;
    BurnishError without pyarrow.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise BurnishError(f"{path}: Parquet needs pyarrow; install it with `pip install 'burnish[data]'`") from None
    number = expanded = 0
    size = path.stat().st_size
    try:
        with parquet.ParquetFile(path) as file:
            _check_sizes(path, size, file.metadata)
            schema = file.schema_arrow
            plain, convert = _plain_schema(path, schema)
            for batch in file.iter_batches(batch_size=_batch_rows(file.metadata)):
                table = _cast(path, batch, plain)
                expanded += table.nbytes
                if expanded > FREE_BYTES and expanded > MAX_RATIO * size:
                    raise DataError(_out_of_proportion(path, size, expanded))
                for value in table.to_pylist():
                    number += 1
                    yield number, _converted(value, convert)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: damaged Parquet after row {number} ({reason}); copy the file again") from None


def _check_sizes(path: Path, size: int, metadata: "FileMetaData") -> None:
    """Raise DataError where the file says that its columns hold more than such a file can."""
    n_bytes = n_values = 0
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            n_bytes += chunk.total_uncompressed_size
            n_values += chunk.num_values
    if n_bytes > FREE_BYTES and n_bytes > MAX_RATIO * size:
        raise DataError(_out_of_proportion(path, size, n_bytes))
    n_values = max(n_values, metadata.num_rows)
    if n_values > FREE_VALUES and n_values > MAX_VALUES * size:
        raise DataError(
            f"{path}: {size:,} bytes that stand for {n_values:,} values; no data is that uniform, so the file is not "
            "read. If it is what you want, write it as JSON lines"
        )


def _out_of_proportion(path: Path, size: int, expanded: int) -> str:
    return (
        f"{path}: {size:,} bytes that become {expanded:,} or more; no data is compressed by more than {MAX_RATIO}, "
        "so the file is not read. If it is what you want, write it as JSON lines"
    )


def _batch_rows(metadata: "FileMetaData") -> int:
    """Rows to read at once: few enough even where each holds the longest value that its column has room for."""
    longest = max(
        (
            metadata.row_group(group).column(column).total_uncompressed_size
            for group in range(metadata.num_row_groups)
            for column in range(metadata.num_columns)
        ),
        default=1,
    )
    return min(_BATCH_ROWS, max(8, _BATCH_BYTES // max(1, longest)))


def _plain_schema(path: Path, schema: "Schema") -> "tuple[Schema, dict[str, Convert | None]]":
    """The schema to cast batches to, and what turns a value of each column into that of JSON."""
    import pyarrow

    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: there are two columns called {', '.join(map(repr, twice))}; rename one of them")
    fields, convert = [], {}
    for field in schema:
        try:
            plain = _plain(field.type)
        except _BadValueError as error:
            raise DataError(f'{path}: the column "{field.name}" {error}; leave it out') from None
        fields.append(field.with_type(plain).with_nullable(True))
        convert[field.name] = _converter(plain)
    return pyarrow.schema(fields), convert


def _cast(path: Path, batch: Any, plain: "Schema") -> Any:
    """The batch with columns that JSON has values for."""
    import pyarrow

    columns = []
    for column, field in zip(batch.columns, plain, strict=True):
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pyarrow.ArrowInvalid:
            raise DataError(
                f'{path}: the column "{field.name}" ({column.type}) has values that are not text, such as pictures; '
                "only text is supported: leave the column out"
            ) from None
    return pyarrow.RecordBatch.from_arrays(columns, schema=plain)


def _plain(kind: "DataType", depth: int = 0) -> "DataType":
    """The type of Arrow that a type is read as."""
    import pyarrow
    from pyarrow import types

    if depth > MAX_DEPTH:
        raise _BadValueError(f"is nested more than {MAX_DEPTH} deep")
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _plain(kind.storage_type, depth)
    if types.is_dictionary(kind):
        return _plain(kind.value_type, depth)
    if types.is_temporal(kind) or any(
        is_bytes(kind) for is_bytes in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    ):
        return pyarrow.large_string()
    if types.is_struct(kind):
        names = [field.name for field in kind]
        if len(set(names)) < len(names):
            raise _BadValueError("has objects with two keys of one name")
        return pyarrow.struct([_plain_field(field, depth) for field in kind])
    if types.is_map(kind):
        return pyarrow.map_(_plain(kind.key_type, depth + 1), _plain_field(kind.item_field, depth))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pyarrow.large_list(_plain_field(kind.value_field, depth))
    if types.is_primitive(kind) or types.is_null(kind) or types.is_decimal(kind) or "string" in str(kind):
        return kind
    raise _BadValueError(f"is of type {kind}, which is not read")


def _plain_field(field: "Field", depth: int) -> "Field":
    return field.with_type(_plain(field.type, depth + 1))


def _converter(kind: "DataType") -> Convert | None:
    """What turns a value of a plain type into that of JSON; None where it is that already."""
    from pyarrow import types

    if types.is_floating(kind):
        return _finite
    if types.is_decimal(kind):
        return _number
    if types.is_struct(kind):
        return _object_converter(kind)
    if types.is_map(kind):
        return _map_converter(kind)
    if types.is_large_list(kind):
        item = _converter(kind.value_type)
        return None if item is None else lambda values: [None if v is None else item(v) for v in values]
    return None


def _object_converter(kind: "DataType") -> Convert:
    from pyarrow import types

    convert = {field.name: _converter(field.type) for field in kind}
    never_said = {field.name for field in kind if types.is_null(field.type)}

    def own(value: dict[str, Any]) -> dict[str, Any]:
        """The object without the keys that others have."""
        kept = {}
        for name, item in value.items():
            if item is not None:
                change = convert[name]
                kept[name] = item if change is None else change(item)
            elif _is_meant(name, value, never_said):
                kept[name] = None
        return kept

    return own


def _is_meant(name: str, value: dict[str, Any], never_said: set[str]) -> bool:
    """Whether the null of an object says something. never_said: keys that are null in all objects of the column."""
    if name in _SCHEMA_NULLS:
        # In a JSON schema that allows null; or nobody would have written the key, since no other has a value for it.
        kinds = value.get("type")
        allowed = kinds == "null" or (isinstance(kinds, list) and "null" in kinds) or value.get("nullable") is True
        return name in never_said or allowed
    return name == "content" and "role" in value and bool(value.get("tool_calls") or value.get("function_call"))


def _map_converter(kind: "DataType") -> Convert:
    item = _converter(kind.item_type)

    def as_object(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        value = {key if isinstance(key, str) else str(key): entry for key, entry in pairs}
        if len(value) < len(pairs):
            raise _BadValueError("has the same key twice in one map")
        return value if item is None else {key: None if v is None else item(v) for key, v in value.items()}

    return as_object


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise _BadValueError(f"is {value}, which is no number that JSON has; write null")
    return value


def _number(value: Decimal) -> int | float | str:
    """A decimal number as JSON has it; as text where a float would round it."""
    if value == value.to_integral_value():
        return int(value)
    rounded = float(value)
    return rounded if Decimal(repr(rounded)) == value else str(value)


def _converted(row: dict[str, Any], convert: "dict[str, Convert | None]") -> dict[str, Any] | str:
    """The row as JSON would have it, or why it cannot be used."""
    for name, change in convert.items():
        if change is not None and row[name] is not None:
            try:
                row[name] = change(row[name])
            except _BadValueError as error:
                return f'the column "{name}" {error}'
    return row
