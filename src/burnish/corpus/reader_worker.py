"""A process that turns files of many kinds into text, so that a file which hangs or crashes a parser ends it alone.

It reads a request a line, `{"path": ..., "kind": ...}`, and answers with lines: `{"text": ..., "name": ...}` for each
text of the file, then `{"end": true}`, or `{"problem": kind, "advice": ...}` in its place. It imports nothing of
Burnish's but `burnish.corpus.parsers`.
Memory is limited: what a small file may become is not known before.
"""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from burnish.corpus.parsers import mails, office, pages, tables
from burnish.corpus.parsers.limits import Part, UnreadableError

MAX_MEMORY = 4 << 30

KINDS: dict[str, Callable[[Path], Iterator[Part]]] = {
    "html": pages.html,
    "pdf": office.pdf,
    "docx": office.docx,
    "epub": office.epub,
    "notebook": office.notebook,
    "mail": mails.mail,
    "mbox": mails.mbox,
    "table": tables.table,
    "warc": pages.warc,
}


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def _limit_resources() -> None:
    """Limits of the operating system, where it has them: Windows has none, and macOS ignores that of memory."""
    try:
        import resource
    except ImportError:
        return
    for kind, limit in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def _serve() -> None:
    _limit_resources()
    sys.setrecursionlimit(20_000)
    output, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    requests = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
    sys.stdout = output
    for line in requests:
        request = json.loads(line)
        path = Path(request["path"].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))
        try:
            for text, name in KINDS[request["kind"]](path):
                _answer({"text": text, "name": name})
        except UnreadableError as error:
            _answer({"problem": error.kind, "advice": error.advice})
        except ImportError as error:
            _answer({"missing": error.name or str(error)})
        except MemoryError:
            _answer({"problem": "file that needs too much memory", "advice": f"more than {MAX_MEMORY >> 30} GiB"})
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            _answer({"problem": f"damaged {path.suffix.lower()} file", "advice": f"{type(error).__name__}: {reason}"})
        else:
            _answer({"end": True})


if __name__ == "__main__":
    _serve()
