"""The process in which a program that a model wrote runs: it answers calls of its functions, in plain data.

Whatever the program does to this process, its messages are data to the one that tests it, and it has no others to send:
the tests, what they expect, and the word on whether they passed are in another process of another cell.
"""

import ast
import json
import sys
import types
from typing import Any

from burnish.rewards.programs.inside.channel import ChannelError, parse, receive, send
from burnish.rewards.programs.inside.values import decode, encode

_MUTABLE = (list, dict, set, bytearray)


def serve(source: bytes, calls: int, replies: int) -> None:
    """Run the program, say what it defines, and answer calls until nobody asks any more."""
    try:
        module = types.ModuleType("program")
        sys.modules["program"] = module
        request = parse(source)
        try:
            run(choose(request["code"], request["prompt"], request["entry_point"]), module.__dict__)
            names = {name: _about(module.__dict__[name]) for name in request["names"] if name in module.__dict__}
        except BaseException as error:  # a program may raise what it likes, SystemExit too
            send(replies, {"failed": described(error), **_raised(error)})
            return
        send(replies, {"names": names})
        while True:
            call = receive(calls)
            send(replies, {"id": call["id"], **_answer(module, call)})
    except ChannelError:
        return


def choose(code: str, prompt: str | None, entry_point: str | None) -> types.CodeType:
    """What is run of an answer: its code behind the prompt's, or as the prompt's continuation, as base models write.

    prompt: code whose last function the answer writes, or goes on with; None where there is none. Of a continuation
    that goes on into what is no Python, the longest beginning that is. Raises SyntaxError where nothing of it is
    Python.
    """
    whole = _parsed(code)
    if prompt is None or (whole is not None and entry_point in _defined(whole)):
        before = "" if prompt is None else _preamble(prompt)
        return compile(f"{before}\n{code}", "<program>", "exec")
    lines = (prompt + code).splitlines()
    first = len(prompt.splitlines())
    for end in range(len(lines), first - 1, -1):
        if _parsed("\n".join(lines[:end])) is not None:
            return compile("\n".join(lines[:end]), "<program>", "exec")
    return compile(code, "<program>", "exec")


def run(code: types.CodeType, namespace: dict[str, Any]) -> None:
    """Run code whose globals are `namespace`."""
    exec(code, namespace)


def described(error: BaseException) -> str:
    """An error in one short line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _preamble(prompt: str) -> str:
    """The prompt's own code, with what it imports and the functions that it gives."""
    for text in (prompt, f"{prompt}\n    pass\n"):
        if _parsed(text) is not None:
            return text
    return ""


def _parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _defined(tree: ast.Module) -> set[str]:
    """The names of functions, classes and values at the top of a program."""
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    targets = (target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets)
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def _about(value: Any) -> dict[str, Any]:
    """What a name of the program's is: something to call, or plain data."""
    if callable(value):
        return {"call": True}
    try:
        return {"value": encode(value)}
    except (TypeError, ValueError) as error:
        return {"opaque": str(error)}


def _answer(module: types.ModuleType, call: dict[str, Any]) -> dict[str, Any]:
    """Call a function. Where it returns None, what it made of its arguments is part of the answer."""
    arguments = [decode(value) for value in call["arguments"]]
    named = {name: decode(value) for name, value in call["named"].items()}
    try:
        result = module.__dict__[call["name"]](*arguments, **named)
    except BaseException as error:
        return _raised(error)
    try:
        answer = {"value": encode(result)}
        if result is None:
            given = [*call["arguments"], *call["named"].values()]
            answer["changed"] = [
                [place, encode(value)]
                for place, (before, value) in enumerate(zip(given, [*arguments, *named.values()], strict=True))
                if isinstance(value, _MUTABLE) and encode(value) != before
            ]
        if len(json.dumps(answer)) > 2**22:
            raise ValueError("a value of more than 4 MiB")
    except (TypeError, ValueError, RecursionError) as error:
        return {"opaque": str(error)[:500]}
    return answer


def _raised(error: BaseException) -> dict[str, Any]:
    """What was raised: the names of its class and of those it comes from, what it was made with, and what it says."""
    try:
        arguments = [encode(argument) for argument in error.args]
    except (TypeError, ValueError):
        arguments = [described(error)]
    return {"raised": [kind.__name__ for kind in type(error).__mro__], "with": arguments, "detail": described(error)}
