"""The process in which SQL written by a model runs.

Started by `SqlSandbox` as a script of its own, never imported into the parent for its `main`. Notable choices:

- Nothing of Burnish is imported, let alone torch: it starts in a fraction of a second, so killing it is cheap.
- Requests and replies are length-prefixed JSON on stdin and stdout. JSON, not pickle: a reply is data even when
  the process that sent it was subverted by the query it ran.
- DuckDB opens the database read-only with external access off, one thread, a memory limit, no spilling to disk, and its
  configuration locked. The operating system's limits stand behind that: address space, processor time and
  a file size of zero, so that not even a hole in DuckDB lets a query write a file.
- A statement passes only if the parser finds exactly one and calls it a SELECT (which WITH, VALUES, FROM, TABLE,
  UNPIVOT, DESCRIBE, SHOW and SUMMARIZE are). The parser decides, not a regular expression. A PIVOT that has to look up
  its columns is several statements to DuckDB; it passes if it can stand in a FROM clause, where only a query can.
- Nanoseconds, which DuckDB cuts off for Python, and intervals, whose months it makes 30 days each, come as text, and so
  do dates where one of them may be infinite, for which Python has the first and the last day, and whole numbers of any
  size (BIGNUM): a query whose result has any, in whatever nested type, runs once more, with casts.
- Time is the processor's: a machine that is busy with other work makes no query fail. The clock on the wall is the
  parent's backstop for a worker that hangs.
"""

import base64
import datetime
import decimal
import json
import math
import os
import re
import signal
import struct
import threading
import time
import uuid
from dataclasses import dataclass
from typing import IO, Any

MAX_REPLY_BYTES = 16 * 2**20
MAX_SQL_CHARACTERS = 100_000
_MAX_DEPTH = 64
_MAX_JSON_INT = 2**53
_GRACE_SECONDS = 0.25  # processor time for an interrupt to take effect before the kernel ends the process
# Address space that Python, DuckDB's code and its allocator map before a query needs any.
_BASE_ADDRESS_SPACE = 1536 * 2**20


_LOSSY_TYPES = frozenset({"TIMESTAMP_NS", "TIMESTAMPTZ_NS", "TIME_NS", "INTERVAL", "BIGNUM"})
_INFINITE_TYPES = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP WITH TIME ZONE"})
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SPAN = re.compile(
    r"(?:(?P<years>-?\d+) years?)? ?(?:(?P<months>-?\d+) months?)? ?(?:(?P<days>-?\d+) days?)? ?"
    r"(?:(?P<sign>-?)(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)(?:\.(?P<fraction>\d{1,6}))?)?"
)
_MOMENT = re.compile(r"(?P<day>\d{4}-\d\d-\d\d )?(?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>[+-].*)?")


@dataclass(frozen=True)
class Nanoseconds:
    """A moment that is finer than Python's: `moment` to the microsecond, and the 1 to 999 nanoseconds behind it."""

    moment: datetime.datetime | datetime.time
    nanoseconds: int

    def __str__(self) -> str:
        text = self.moment.isoformat(timespec="microseconds").replace("T", " ")
        end = text.index(".") + 7
        return f"{text[:end]}{self.nanoseconds:03}{text[end:]}"


@dataclass(frozen=True)
class Months:
    """An interval of the calendar: `months` of 28 to 31 days each, and a fixed time behind them."""

    months: int
    rest: datetime.timedelta

    def __str__(self) -> str:
        months = f"{self.months} month{'' if abs(self.months) == 1 else 's'}"
        return f"{months} {self.rest}" if self.rest else months


def write_frame(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write `message` as four bytes of length (big-endian) and JSON."""
    data = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    stream.write(struct.pack(">I", len(data)) + data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read what `write_frame` wrote; None at the end of the stream or for a frame that breaks the protocol."""
    header = stream.read(4)
    if len(header) < 4:
        return None
    (length,) = struct.unpack(">I", header)
    if length > 2 * MAX_REPLY_BYTES:
        return None
    data = stream.read(length)
    if len(data) < length:
        return None
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def encode(value: object, depth: int = 0) -> object:
    """A value of a DuckDB row as JSON, such that `decode` gives back an equal value of the same type.

    Strings, booleans, None, short integers and finite floats are themselves, lists are arrays; every other type
    becomes an object with one key, its name.
    """
    if depth > _MAX_DEPTH:
        raise TypeError(f"a result holds a value that is nested more than {_MAX_DEPTH} deep")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _MAX_JSON_INT else {"int": hex(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, (list, tuple)):
        return [encode(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {"map": [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in value.items()]}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, datetime.datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, datetime.date):
        return {"date": value.isoformat()}
    if isinstance(value, datetime.time):
        return {"time": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"interval": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, uuid.UUID):
        return {"uuid": str(value)}
    raise TypeError(f"a result holds a value of type {type(value).__name__}, which is not supported")


def decode(value: Any, depth: int = 0) -> Any:
    """The inverse of `encode`. Raises ValueError, TypeError, KeyError or ArithmeticError for what it never makes."""
    if depth > 2 * _MAX_DEPTH:
        raise ValueError("a value is nested too deep")
    if isinstance(value, list):
        return [decode(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "map":
        return {decode(key, depth + 1): decode(item, depth + 1) for key, item in content}
    if kind == "nanoseconds":
        encoded, nanoseconds = content
        moment = decode(encoded, depth + 1)
        if not isinstance(moment, (datetime.datetime, datetime.time)) or nanoseconds not in range(1, 1000):
            raise ValueError("no moment with nanoseconds")
        return Nanoseconds(moment, nanoseconds)
    if kind == "interval":
        days, seconds, microseconds, *months = content
        span = datetime.timedelta(days=days, seconds=seconds, microseconds=microseconds)
        return Months(_whole(*months), span) if months else span
    return _FROM_TEXT[kind](content)


def _whole(months: Any) -> int:
    if type(months) is not int or not months:
        raise ValueError("no number of months")
    return months


def _decimal(text: str) -> decimal.Decimal:
    value = decimal.Decimal(text)
    if value.is_nan():  # signalling ones raise wherever they are looked at
        raise ValueError("a DECIMAL is never NaN")
    return value


_FROM_TEXT: dict[str, Any] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "decimal": _decimal,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "bytes": base64.b64decode,
    "uuid": uuid.UUID,
}


class _RefusedError(Exception):
    """The statement or its result is not allowed; the message says why."""


def main() -> None:
    """Serve queries from stdin until it ends. The first request holds the settings."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not be taken for a reply.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    settings = read_frame(requests)
    if settings is None:
        return
    try:
        connection = _open(settings)
    except Exception as error:  # whatever is wrong with the database or DuckDB, the parent reports it
        write_frame(replies, {"error": _short(error)})
        return
    write_frame(replies, {"ready": True})
    while (request := read_frame(requests)) is not None:
        limit_processor_time(request["timeout_seconds"])
        reply = _answer(connection, request["sql"], request["timeout_seconds"], settings["max_rows"])
        limit_processor_time(None)  # minutes may pass until the next query, and DuckDB's threads do not sleep for free
        write_frame(replies, reply)
        if reply["last"]:
            return


def _open(settings: dict[str, Any]) -> Any:
    """A locked-down connection to the database, and the operating system's limits on this process."""
    import duckdb

    connection = duckdb.connect(settings["database"], read_only=True)
    for setting in (
        "threads = 1",
        f"memory_limit = '{settings['memory_limit'] // 1024}KiB'",
        "temp_directory = ''",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "python_enable_replacements = false",  # else `select * from name` reads the Python variable `name`
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set global {setting}")
    limit_resources(settings["memory_limit"])
    return connection


def limit_resources(memory_limit: int) -> None:
    """Backstops of the operating system, where it has them (not on Windows; macOS ignores the address space)."""
    try:
        import resource
    except ImportError:
        return
    limits = {
        resource.RLIMIT_AS: memory_limit + _BASE_ADDRESS_SPACE,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        ceiling = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (ceiling, ceiling))
        except (ValueError, OSError):
            continue  # a system that cannot limit this still has DuckDB's limits and the parent's clock


def limit_processor_time(timeout_seconds: float | None) -> None:
    """Let the kernel end this process if a query does not heed its interrupt; None: no longer."""
    if hasattr(signal, "setitimer"):
        # Its signal has no handler, and so ends the process; unlike the limit below it counts fractions of seconds.
        signal.setitimer(signal.ITIMER_PROF, 0 if timeout_seconds is None else timeout_seconds + _GRACE_SECONDS)
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if timeout_seconds is None:
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
        return
    seconds = math.ceil(time.process_time() + timeout_seconds) + 5
    if hard == resource.RLIM_INFINITY or seconds < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


def _answer(connection: Any, sql: str, timeout_seconds: float, max_rows: int) -> dict[str, Any]:
    """The reply to one query; `last` says that this process can take no further one."""
    import duckdb

    # A cursor is a connection of its own: no transaction or temporary object outlives the query.
    cursor = connection.cursor()
    done = threading.Event()
    clock = threading.Thread(target=_interrupt_late, args=(cursor, timeout_seconds, done), daemon=True)
    clock.start()
    started = time.process_time()
    last = False
    try:
        columns, types, rows = _run(cursor, sql, max_rows)
        reply: dict[str, Any] = {"columns": columns, "types": types, "rows": rows}
        if len(json.dumps(rows, allow_nan=False)) > MAX_REPLY_BYTES:
            reply = {"error": f"the result is larger than {MAX_REPLY_BYTES // 2**20} MiB"}
    except duckdb.InterruptException:
        reply, last = {"error": "", "timed_out": True}, True
    except (duckdb.OutOfMemoryException, duckdb.FatalException, duckdb.InternalException, MemoryError) as error:
        # After the fatal ones DuckDB refuses every query; after the others the allocator may keep so much of the
        # address space that an innocent query fails. A fresh process costs a quarter of a second.
        reply, last = {"error": _short(error)}, True
    except Exception as error:  # any other failure is the query's own
        reply = {"error": _short(error)}
    finally:
        done.set()
        clock.join()
        cursor.close()
    return {**reply, "seconds": time.process_time() - started, "last": last}


def _interrupt_late(cursor: Any, timeout_seconds: float, done: threading.Event) -> None:
    """Interrupt the cursor's query once this process has computed for `timeout_seconds`, until it is `done`."""
    end = time.process_time() + timeout_seconds
    while not done.wait(max(end - time.process_time(), 0.01)):
        if time.process_time() >= end:
            cursor.interrupt()


def _run(cursor: Any, sql: str, max_rows: int) -> tuple[list[str], list[str], list[object]]:
    """Names and types of the columns and encoded rows of the one read statement in `sql`."""
    import duckdb

    if len(sql) > MAX_SQL_CHARACTERS:
        raise _RefusedError(f"the statement is longer than {MAX_SQL_CHARACTERS} characters")
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise _RefusedError(f"exactly one statement is allowed, not {len(statements)}")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT and not (kind == duckdb.StatementType.MULTI and _is_query(cursor, sql)):
        raise _RefusedError(f"only a statement that reads is allowed, not {str(kind).rsplit('.', 1)[-1]}")
    cursor.execute(statements[0])
    columns, types = [column[0] for column in cursor.description], [column[1] for column in cursor.description]
    texts = _LOSSY_TYPES
    if any(_holds(kind, texts) for kind in types):
        cursor.execute(_with_text(cursor, sql, types, texts))
    rows = cursor.fetchmany(max_rows + 1)
    if len(rows) > max_rows:
        raise _RefusedError(f"the result has more than {max_rows} rows")
    if any(_may_be_infinite(value) for row in rows for value in row):
        texts |= _INFINITE_TYPES
        cursor.execute(_with_text(cursor, sql, types, texts))
        rows = cursor.fetchmany(max_rows)
    encoded: list[object] = [
        [_encode_as(kind, value, texts) for kind, value in zip(types, row, strict=True)] for row in rows
    ]
    return columns, [str(kind) for kind in types], encoded


def _may_be_infinite(value: Any) -> bool:
    """Whether a value is, or holds, the first or last day that Python knows."""
    if isinstance(value, (list, tuple)):
        return any(map(_may_be_infinite, value))
    if isinstance(value, dict):
        return any(map(_may_be_infinite, (*value, *value.values())))
    return isinstance(value, datetime.date) and value.year in (datetime.MINYEAR, datetime.MAXYEAR)


def _holds(kind: Any, texts: frozenset[str]) -> bool:
    """Whether values of a DuckDB type are or hold what its Python values lack, which is of the types `texts`."""
    return str(kind) in texts or any(_holds(part, texts) for part in _parts(kind).values())


def _parts(kind: Any) -> dict[str, Any]:
    """The types that a nested type is made of, by name where they have one, else by place."""
    if kind.id in ("list", "array"):
        return {"0": kind.children[0][1]}
    if kind.id == "struct":
        return dict(kind.children)
    if kind.id == "union":
        return dict(kind.children[1:])  # the first is the tag's
    if kind.id in ("tuple", "map"):
        return {str(place): child for place, (_, child) in enumerate(kind.children)}
    return {}


def _text_of(kind: Any, value: str, texts: frozenset[str], depth: int = 0) -> str:
    """SQL for what the SQL `value` of a type is, with text in place of the types `texts`.

    Maps become lists of their entries, and unions structs of their tag and members, since Python sees neither keys
    that are nested nor which member of a union a value is.
    """
    if not _holds(kind, texts):
        return value
    parts, each = _parts(kind), f"x{depth}"
    if kind.id in ("list", "array"):
        return f"list_transform({value}, lambda {each}: {_text_of(parts['0'], each, texts, depth + 1)})"
    if kind.id == "map":
        items = [
            _text_of(part, f"{each}.{name}", texts, depth + 1)
            for part, name in zip(parts.values(), ("key", "value"), strict=True)
        ]
        return f"list_transform(map_entries({value}), lambda {each}: {_pack(items)})"
    if kind.id == "tuple":
        items = [_text_of(part, f"{value}[{place + 1}]", texts, depth) for place, part in enumerate(parts.values())]
    elif kind.id == "struct":
        items = [
            _text_of(part, f"struct_extract({value}, {_quoted(name)})", texts, depth) for name, part in parts.items()
        ]
    elif kind.id == "union":
        items = [
            _text_of(part, f"union_extract({value}, {_quoted(name)})", texts, depth) for name, part in parts.items()
        ]
        items.append(f"union_tag({value})::varchar")
    else:
        return f"({value})::varchar"
    return f"case when {value} is not null then {_pack(items)} end"


def _pack(items: list[str]) -> str:
    return "struct_pack(" + ", ".join(f"p{place} := {item}" for place, item in enumerate(items)) + ")"


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _with_text(cursor: Any, sql: str, types: list[Any], texts: frozenset[str]) -> str:
    """The query with all of the types `texts` as text."""
    import duckdb

    names = [f"c{place}" for place in range(len(types))]
    casts = [_text_of(kind, name, texts) for name, kind in zip(names, types, strict=True)]
    while True:
        query = f"select {', '.join(casts)} from (\n{sql}\n) as query({', '.join(names)})"
        try:
            cursor.extract_statements(query)
        except duckdb.Error:
            sql, end, _ = sql.rpartition(";")  # it may end with one, and a comment may follow
            if not end:
                raise
        else:
            return query


def _encode_as(kind: Any, value: Any, texts: frozenset[str], depth: int = 0) -> object:
    """`encode` for a value that `_text_of` made; as Python has it, a union is its member and names none."""
    if value is None or depth > _MAX_DEPTH or not _holds(kind, texts):
        return encode(value, depth)
    parts = _parts(kind)
    if kind.id in ("list", "array"):
        return [_encode_as(parts["0"], item, texts, depth + 1) for item in value]
    if kind.id == "map":
        of_key, of_item = parts.values()
        entries = [
            [_encode_as(of_key, entry["p0"], texts, depth + 1), _encode_as(of_item, entry["p1"], texts, depth + 1)]
            for entry in value
        ]
        if _parts(of_key):  # DuckDB's own form for keys that no dictionary can have
            return {"map": [["key", [key for key, _ in entries]], ["value", [item for _, item in entries]]]}
        return {"map": entries}
    if not parts:
        return _ENCODERS.get(str(kind), _encode_moment)(value)
    if kind.id == "union":
        place = list(parts).index(value[f"p{len(parts)}"])
        return _encode_as(list(parts.values())[place], value[f"p{place}"], texts, depth + 1)
    items = [_encode_as(part, value[f"p{place}"], texts, depth + 1) for place, part in enumerate(parts.values())]
    return items if kind.id == "tuple" else {"map": [list(item) for item in zip(parts, items, strict=True)]}


def _encode_span(text: str) -> object:
    """An interval as DuckDB writes it: `1 year 2 months 3 days 04:05:06.789`; a day is 24 hours, a month no days."""
    found = _SPAN.fullmatch(text)
    if found is None:
        return text
    years, months, days, hours, minutes, seconds = (
        int(found[name] or 0) for name in ("years", "months", "days", "hours", "minutes", "seconds")
    )
    sign = -1 if found["sign"] else 1
    microseconds = int((found["fraction"] or "").ljust(6, "0"))
    try:
        rest = datetime.timedelta(days) + sign * datetime.timedelta(
            hours=hours, minutes=minutes, seconds=seconds, microseconds=microseconds
        )
    except OverflowError:  # beyond what Python has
        return text
    months += 12 * years
    return {"interval": [rest.days, rest.seconds, rest.microseconds, *([months] if months else [])]}


def _encode_moment(text: str) -> object:
    """A moment as DuckDB writes it; one that Python has no value for, such as infinity or 24:00:00, stays text."""
    if _DAY.fullmatch(text):
        return {"date": text}
    found = _MOMENT.fullmatch(text)
    if found is None:
        return text
    fraction = (found["fraction"] or "").ljust(9, "0")
    written = f"{found['day'] or ''}{found['time']}.{fraction[:6]}{found['zone'] or ''}"
    kind = "datetime" if found["day"] else "time"
    try:
        _FROM_TEXT[kind](written)
    except ValueError:
        return text
    moment = {kind: written}
    return {"nanoseconds": [moment, int(fraction[6:])]} if int(fraction[6:]) else moment


def _encode_bignum(text: str) -> object:
    """A whole number of any size; one of more digits than Python reads stays text."""
    try:
        return encode(int(text))
    except ValueError:
        return text


_ENCODERS = {"INTERVAL": _encode_span, "BIGNUM": _encode_bignum}


def _is_query(cursor: Any, sql: str) -> bool:
    """Whether the one statement in `sql` may stand in a FROM clause, as only a query may."""
    import duckdb

    try:
        return len(cursor.extract_statements(f"select * from (\n{sql.rstrip().rstrip(';')}\n) as query")) == 1
    except duckdb.Error:
        return False


def _short(error: BaseException) -> str:
    """The first line of an error's message, which in DuckDB's names the fault; the rest draws the place."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]


if __name__ == "__main__":
    main()
