"""Files that are no plain text, read in a process of their own (`burnish.corpus.reader_worker`).

A parser of foreign formats can hang, crash or eat all memory over one broken file. Here that costs the file: the
process is killed after some time, started again, and the file is told as unreadable.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from burnish.corpus import reader_worker
from burnish.corpus.folders import PARSED_SUFFIXES, suffix_of

SECONDS = 60.0
"""How long a text of a file may take."""
_LONGEST_ANSWER = 512 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A text of a file, and its name there where it has one."""

    text: str
    name: str | None


class UnreadableFileError(Exception):
    """A file that cannot be read: what is counted together, and what to do about it."""

    def __init__(self, kind: str, advice: str = "") -> None:
        super().__init__(f"{kind}; {advice}" if advice else kind)
        self.kind, self.advice = kind, advice


class Readers:
    """Reads files by their suffix; its process starts with the first file and ends with the context."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._read = bytearray()  # of the process's answers, what is not yet used

    def __enter__(self) -> "Readers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._kill()

    def parts(self, path: Path) -> Iterator[Part]:
        """Yield the texts of a file.

        Raises:
            UnreadableFileError: it is damaged, encrypted, too large, takes too long, or what reads it is not installed.
        """
        process = self._running()
        assert process.stdin is not None
        request = {"path": str(path.resolve()), "kind": PARSED_SUFFIXES[suffix_of(path)]}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        whole = False
        try:
            while True:
                answer = json.loads(self._line(process, path))
                if "text" in answer:
                    yield Part(answer["text"], answer["name"])
                    continue
                whole = True
                if "missing" in answer:
                    raise UnreadableFileError(
                        f"{path.suffix.lower()} file",
                        f"to read it, `pip install 'burnish[documents]'` ({answer['missing']})",
                    )
                if "problem" in answer:
                    raise UnreadableFileError(answer["problem"], answer["advice"])
                return
        finally:
            if not whole:  # the rest of the answer would be taken for that about the next file
                self._kill()

    def _line(self, process: "subprocess.Popen[bytes]", path: Path) -> bytes:
        """The next line of the process."""
        assert process.stdout is not None
        searched = 0
        while (end := self._read.find(b"\n", searched)) < 0:
            searched = len(self._read)
            ready, _, _ = select.select([process.stdout], [], [], self.seconds)
            if not ready:
                raise UnreadableFileError("file that takes too long to read", f"more than {self.seconds:g} s")
            piece = os.read(process.stdout.fileno(), 1 << 20)
            self._read += piece
            if not piece:
                raise UnreadableFileError(f"{path.suffix.lower()} file that crashes its reader", "copy it again")
            if len(self._read) > _LONGEST_ANSWER:
                raise UnreadableFileError("file that is too large", f"more than {_LONGEST_ANSWER >> 20} MiB of text")
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(reader_worker.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process.wait()
            self._process = None
            self._read.clear()
