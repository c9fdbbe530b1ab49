"""The process in which libraries read what a model wrote: math-verify, and the scorers of reasoning-gym.

Started by `Scorer` as a script of its own. Notable choices:

- A formula may take for ever to simplify: the kernel ends this process once a request has computed for its time. The
  time-outs of math-verify itself work in a main thread only, and do not reach into compiled code.
- Some scorers of reasoning-gym evaluate the answer as Python. Here `eval` is `ast.literal_eval` to them, what SymPy
  would evaluate may hold no name of a function beyond arithmetic, no text and no dunder, and behind that Python itself
  refuses this process files, other processes and the network, and the operating system more memory or a written byte.
- A task is made here, by the seed and the place in its row, as it was made for the file: texts that depend on the order
  of a set are the same, since the hash seed is.
"""

import ast
import builtins
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import BuiltinFunctionType
from typing import Any

from burnish.rewards.sql_worker import limit_processor_time, limit_resources, read_frame, write_frame

MEMORY_BYTES = 2**30
ARITHMETIC = {"abs", "divmod", "max", "min", "pow", "round", "sum"}
_EVALUATES_ANSWERS = (
    "algorithmic.binary_matrix",
    "algorithmic.spiral_matrix",
    "algorithmic.string_insertion",
    "games.n_queens",
)
_REFUSED = (
    "ctypes", "ftplib", "http", "imaplib", "mmap", "msvcrt", "nntplib", "os", "poplib", "pty", "resource", "shutil",
    "signal", "smtplib", "socket", "sqlite3", "subprocess", "syslog", "telnetlib", "tempfile", "urllib", "webbrowser",
    "winreg",
)  # fmt: skip
_ALLOWED = ("os.listdir", "os.scandir", "os.walk", "resource.setrlimit")
Answering = Callable[[dict[str, Any]], dict[str, Any]]


def main() -> None:
    """Serve requests from stdin until it ends. The first one names the library."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not be taken for a reply.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    settings = read_frame(requests)
    if settings is None:
        return
    try:
        answer = LIBRARIES[settings["library"]]()
    except Exception as error:
        write_frame(replies, {"error": f"{type(error).__name__}: {error}"})
        return
    limit_resources(MEMORY_BYTES)
    sys.addaudithook(refuse)
    write_frame(replies, {"ready": True})
    while (request := read_frame(requests)) is not None:
        limit_processor_time(request["timeout_seconds"])
        try:
            reply = answer(request)
        except BaseException as error:  # also what an answer that is evaluated raises to end the process
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        limit_processor_time(None)
        write_frame(replies, reply)


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what scoring has no need for. Raises PermissionError."""
    if event == "open":
        file, mode, flags = arguments
        writes = bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or set(mode or "") & set("wax+")
        if writes or not isinstance(file, str | bytes | os.PathLike) or not _is_code(os.fsdecode(file)):
            raise PermissionError(f"{event} of {file!r}")
    elif event.partition(".")[0] in _REFUSED and event not in _ALLOWED:
        raise PermissionError(event)


def _is_code(file: str) -> bool:
    """Whether a file is Python's own or belongs to an installed package."""
    folders = {os.path.realpath(folder) for folder in (sys.prefix, sys.base_prefix, *sys.path) if folder}
    return any(os.path.realpath(file).startswith(folder + os.sep) for folder in folders)


def mathematics() -> Answering:
    """Answers `{"gold": [text, bare], "said": [text, bare]}`.

    bare: the text is an answer alone, such as what a tag holds; else one is looked for in it. In the reply `found` and
    `expected` are what was read, null where there is no expression; `right` says whether they are equal.
    """
    import logging

    from math_verify import parse, verify

    logging.disable()

    @lru_cache(maxsize=512)
    def read(text: str, bare: bool) -> list[Any]:
        text = text.rpartition("####")[2].strip()
        written = "\\boxed" in text or "$" in text or "\\(" in text or "\\[" in text
        forms = [text] if written or not bare else [f"\\boxed{{{text}}}", text]
        found: list[Any] = next(filter(None, (parse(form, parsing_timeout=None) for form in forms)), [])
        return found

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        gold, said = read(*request["gold"]), read(*request["said"])
        return {
            "expected": _written(gold),
            "found": _written(said),
            "right": bool(gold and said) and bool(verify(gold, said, timeout_seconds=None)),
        }

    return answer


def _written(found: list[Any]) -> str | None:
    """What was read, as it was written; printing what it means may take for ever."""
    return next((one[:200] for one in reversed(found) if isinstance(one, str)), "") if found else None


def reasoning_gym() -> Answering:
    """Answers `{"task", "config", "index"}` with `stop`: the questions and answers of these places; else a score.

    For a score, `question` is that of the row, which has to be what is made here, and `answer` what was said.
    """
    _guard_sympy()
    from importlib import import_module

    import_module("reasoning_gym")  # registers the tasks
    from reasoning_gym.factory import DATASETS, create_dataset

    for module in _EVALUATES_ANSWERS:
        import_module(f"reasoning_gym.{module}").__dict__["eval"] = ast.literal_eval

    @lru_cache(maxsize=64)
    def dataset(task: str, config: str) -> Any:
        return create_dataset(task, **json.loads(config))

    @lru_cache(maxsize=4096)
    def entry(task: str, config: str, index: int) -> Mapping[str, Any]:
        made: Mapping[str, Any] = dataset(task, config)[index]
        return made

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        task, config, index = request["task"], json.dumps(request["config"], sort_keys=True), request["index"]
        if task not in DATASETS:
            return {"unknown": sorted(DATASETS)}
        if "stop" in request:
            made = [entry(task, config, place) for place in range(index, request["stop"])]
            return {"made": [[str(one["question"]), str(one["answer"])] for one in made]}
        one = entry(task, config, index)
        if str(one["question"]) != request["question"]:
            return {"other": str(one["question"])[:80]}
        return {"score": float(dataset(task, config).score_answer(request["answer"], one))}

    return answer


def _guard_sympy() -> None:
    """Have SymPy's `parse_expr`, which evaluates a text as Python, refuse what is not an expression."""
    import sympy
    from sympy.parsing import sympy_parser

    plain = sympy_parser.parse_expr
    functions = {name for name, value in vars(builtins).items() if isinstance(value, BuiltinFunctionType | type)}
    refused = functions - ARITHMETIC

    def parse_expr(text: str, *arguments: Any, **settings: Any) -> Any:
        if isinstance(text, str) and (
            set(re.findall(r"\w+", text)) & refused or re.search(r"__|['\"]|\.\s*[^\W\d]", text)
        ):
            raise ValueError("not an expression")
        return plain(text, *arguments, **settings)

    for module in (sympy, sympy_parser, sys.modules["sympy.parsing"]):
        module.__dict__["parse_expr"] = parse_expr


LIBRARIES: dict[str, Callable[[], Answering]] = {"math-verify": mathematics, "reasoning-gym": reasoning_gym}

if __name__ == "__main__":
    main()
