"""Messages between processes that do not trust each other: four bytes of length (big-endian), then JSON."""

import json
import os
import struct
from typing import Any

MAX_BYTES = 8 * 2**20


class ChannelError(Exception):
    """The other side has ended, or does not keep to the protocol."""


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Write a message. Raises ChannelError where nobody reads it, ValueError where it is too large or no JSON."""
    data = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    if len(data) > MAX_BYTES:
        raise ValueError(f"a message of {len(data):,} bytes; at most {MAX_BYTES:,}")
    rest = memoryview(struct.pack(">I", len(data)) + data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        raise ChannelError("the other side has ended") from error


def receive(descriptor: int) -> dict[str, Any]:
    """Read a message. Raises ChannelError at the end, and for anything that `send` never writes."""
    (length,) = struct.unpack(">I", _read(descriptor, 4))
    if length > MAX_BYTES:
        raise ChannelError(f"a message of {length:,} bytes; at most {MAX_BYTES:,}")
    return parse(_read(descriptor, length))


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; ChannelError for anything else."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ChannelError("a message that is no JSON") from error
    if not isinstance(message, dict):
        raise ChannelError("a message that is no object")
    return message


def _read(descriptor: int, count: int) -> bytes:
    parts = []
    while count:
        try:
            part = os.read(descriptor, min(count, 2**16))
        except OSError as error:
            raise ChannelError("the other side cannot be read from") from error
        if not part:
            raise ChannelError("the other side has ended")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
