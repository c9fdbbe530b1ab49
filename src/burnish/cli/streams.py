"""Standard input as lines, and standard output and error that outlive whoever reads them.

`burnish run recipe.yaml | head -1` closes the pipe while there are hours of work left: what nobody reads any more goes
nowhere, and the command ends as it would have. Only a file that is full is told, since there someone wants the lines.
"""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TextIO

from burnish.errors import BurnishError


class _Outliving(io.FileIO):
    """A stream's file, which is the null device once its reader has gone."""

    gone = False

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())  # also for the programs that are started from now on
            os.close(null)
            self.gone = True
            return super().write(data)


def steady_streams() -> None:
    """Make `sys.stdout` and `sys.stderr` outlive their readers; letters that they do not know become escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):  # of a notebook, or closed
            continue
        stream.reconfigure(errors="backslashreplace")
        raw = getattr(stream.buffer, "raw", stream.buffer)
        if type(raw) is not io.FileIO:
            continue
        stream.flush()
        file = _Outliving(raw.fileno(), "w", closefd=False)
        steady = io.TextIOWrapper(
            file if raw is stream.buffer else io.BufferedWriter(file),  # `python -u` has no buffer
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, steady)


def gone(stream: TextIO | None) -> bool:
    """Whether nobody reads what is written to a stream; all that waits to be written is, first."""
    if stream is None:
        return True
    with suppress(OSError, ValueError):
        stream.flush()
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return isinstance(raw, _Outliving) and raw.gone


def while_read(questions: Iterable[str]) -> Iterator[str]:
    """The questions until nobody reads the answers on standard output any more."""
    for question in questions:
        if gone(sys.stdout):
            return
        yield question


def input_lines() -> Iterator[str]:
    """The lines of standard input that are not empty. Raises BurnishError for one that is no text."""
    if sys.stdin is None:  # closed by whoever started the program
        return
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    for number, line in enumerate(sys.stdin, start=1):
        if not line.isascii() and any("\udc80" <= letter <= "\udcff" for letter in line):
            raise BurnishError(f"standard input, line {number}: not text in UTF-8; convert it (iconv -t utf-8)")
        if line.strip():
            yield line.strip()
