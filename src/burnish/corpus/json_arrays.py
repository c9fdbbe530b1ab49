"""A JSON array of rows, read element by element, so that each knows its line and a large file is never held whole."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from burnish.corpus.json_values import MAX_ROW_BYTES, not_utf8, parse_json_at, too_long, why_not_json
from burnish.errors import DataError

CHUNK = 2**20
_BLANK = re.compile(r"[ \t\r\n]*")
_LONGEST_WORD = 16
"""No word or escape of JSON is longer, so an error before that is not due to the end of what was read."""


def array_elements(
    path: Path, stream: BinaryIO, data: bytes, line: int, offset: int
) -> Iterator[tuple[int, Any | ValueError]]:
    """Yield each element of an array with its line, or what is wrong there.

    After an error in the syntax the rest of the array cannot be trusted, so it is not read.

    Args:
        data: what was read of the file so far and begins with blanks and `[`; it stands at `line` and byte `offset`.
    """
    text = _Text(path, stream, data, line, offset)
    text.next_sign()
    text.position += 1
    while (sign := text.next_sign()) != "]":
        line = text.line
        try:
            yield line, text.element()
        except json.JSONDecodeError as error:
            column = text.column(error)
            yield text.line_at(error.pos), ValueError(f"invalid JSON at column {column}: {why_not_json(error)}")
            return
        except ValueError as error:
            yield line, error
            return
        sign = text.next_sign()
        if sign == ",":
            text.position += 1
        elif sign != "]":
            expected = "expected , or ]" if sign else "the array is not closed; is the file truncated?"
            yield text.line, ValueError(f"invalid JSON: {expected}")
            return
    text.position += 1
    if text.next_sign():
        yield (
            text.line,
            ValueError("there is text after the end of the JSON array; a file holds one array or JSON lines"),
        )


class _Text:
    """The text of a file from `position` on, as much of it as was needed; what was taken is forgotten."""

    def __init__(self, path: Path, stream: BinaryIO, data: bytes, line: int, offset: int) -> None:
        self._path, self._stream = path, stream
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._offset = offset
        self._column = 0
        self._text, self._counted = "", 0
        self._ended = False
        self.position, self.line = 0, line
        self._append(data)

    def next_sign(self) -> str:
        """Go to the next character that is not blank and return it, or nothing at the end; `line` is then its line."""
        while True:
            match = _BLANK.match(self._text, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self._text) or not self._more():
                self.line = self.line_at(self.position)
                return self._text[self.position : self.position + 1]

    def element(self) -> Any:
        """Take the value that begins here. Raises ValueError as `parse_json`, or where it is too long."""
        while True:
            try:
                value, end = parse_json_at(self._text, self.position)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos > len(self._text) - _LONGEST_WORD
                if not cut or self._ended:
                    raise
            else:
                if end < len(self._text) or self._ended:  # else a number may go on
                    self.position = end
                    return value
            if len(self._text) - self.position > MAX_ROW_BYTES:
                raise ValueError(too_long(self._text[self.position : self.position + 200].encode()))
            self._more()

    def line_at(self, position: int) -> int:
        """The line of a character that is not before any asked about earlier."""
        self.line += self._text.count("\n", self._counted, position)
        self._counted = max(self._counted, position)
        return self.line

    def column(self, error: json.JSONDecodeError) -> int:
        """The column of an error in the file."""
        return error.colno + (self._column if "\n" not in self._text[: error.pos] else 0)

    def _more(self) -> bool:
        """Read as much again as there is, at least a chunk; whether there was more."""
        if self._ended:
            return False
        taken, kept = self._text[: self.position], self._text[self.position :]
        self.line_at(self.position)
        self._column = len(taken) - taken.rfind("\n") - 1 if "\n" in taken else self._column + len(taken)
        self._text, self._counted, self.position = kept, 0, 0
        data = self._stream.read(max(CHUNK, len(kept)))
        self._ended = not data
        self._append(data)
        return not self._ended

    def _append(self, data: bytes) -> None:
        try:
            self._text += self._decode(data, self._ended)
        except UnicodeDecodeError as error:
            start = self._offset - (len(error.object) - len(data))
            line = self.line + self._text.count("\n", self._counted) + error.object.count(b"\n", 0, error.start)
            raise DataError(f"{self._path}:{line}: {not_utf8(error.object, error, start)}") from None
        self._offset += len(data)
