"""The process in which the unit tests of a program run, out of the program's reach.

The tests' names for the program's functions are `Remote`s here: a call goes to the program's process as plain data, and
plain data comes back. So `assert` compares builtin values, in a process that has never run a line of the program. What
stops the tests for good (`Stopped`) no `except` of theirs can hold, and none of it can end in a pass.
"""

import ast
import builtins
import hashlib
import random
import sys
import traceback
import types
from typing import Any

from burnish.rewards.programs.inside.channel import ChannelError, parse, receive, send
from burnish.rewards.programs.inside.program import described, run
from burnish.rewards.programs.inside.values import canonical, decode, encode, update

_NEVER_RAISED = (StopIteration, StopAsyncIteration, GeneratorExit, SystemExit, KeyboardInterrupt)
"""What would end a loop or the process of the tests without a word."""
_SHOWN = 200


class Stopped(BaseException):
    """The tests cannot go on: the reason is one of the judge's words, the detail for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Program:
    """The other side: its functions, the number of its answers, and the last of them, to be shown."""

    def __init__(self, calls: int, replies: int) -> None:
        self._calls, self._replies = calls, replies
        self.answered = 0
        self.stopped: Stopped | None = None
        self.last = ""
        self.raised: BaseException | None = None
        self._outputs = hashlib.sha256()

    @property
    def outputs(self) -> str:
        """A hash of all that was asked and answered: the same for programs that do the same."""
        return self._outputs.hexdigest()

    def names(self, wanted: list[str]) -> dict[str, Any]:
        """The program's own values of the names that the tests use. Raises Stopped where it did not get that far."""
        reply = self._receive("while it was loaded")
        if "failed" in reply:
            raise self._stop("error", str(reply["failed"]))
        said = reply.get("names")
        if not isinstance(said, dict):
            raise self._stop("error", "the program answers out of turn")
        return {name: self._value(name, said[name]) for name in wanted if isinstance(said.get(name), dict)}

    def _value(self, name: str, about: dict[str, Any]) -> Any:
        if "call" in about:
            return Remote(self, name)
        if "value" not in about:
            raise self._stop("unsupported", f"{name} is {about.get('opaque')}; tests see plain data only")
        self.answered += 1
        self._hear(name, about["value"])
        return self._decoded(about["value"])

    def _hear(self, *said: Any) -> None:
        try:
            self._outputs.update(canonical([*said]).encode(errors="replace") + b"\n")
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise self._stop("error", "the program answers what is no message") from None

    def call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """What a function of the program's returns, or raises as the nearest builtin exception."""
        if self.stopped is not None:
            raise self.stopped
        number = self.answered
        try:
            sent = [encode(value) for value in arguments]
            sent_by_name = {key: encode(value) for key, value in named.items()}
            message = {"id": number, "name": name, "arguments": sent, "named": sent_by_name}
        except (TypeError, ValueError) as error:
            raise self._stop("unsupported", f"the tests give {name} {error}; only plain data can be given") from None
        shown = f"{name}({', '.join(map(_short, [*arguments, *named.values()]))})"
        self._send(message, shown)
        reply = self._receive(f"in {shown}")
        if reply.get("id") != number:
            raise self._stop("error", "the program answers out of turn")
        self.answered += 1
        self._hear(name, sent, [[key, value] for key, value in sent_by_name.items()])
        self._hear("raised" in reply, reply.get("raised" if "raised" in reply else "value"), reply.get("changed"))
        if "raised" in reply:
            detail = str(reply.get("detail", ""))[:_SHOWN]
            self.last = f"{shown} raised {detail}"
            self.raised = _exception(reply["raised"], self._decoded(reply.get("with")), detail)
            raise self.raised
        if "value" not in reply:
            detail = f"{shown} returned {str(reply.get('opaque'))[:_SHOWN]}; tests see plain data only"
            raise self._stop("unsupported", detail)
        value = self._decoded(reply["value"])
        self.last = f"{shown} returned {_short(value)}"
        if value is None:
            self._update([*arguments, *named.values()], reply.get("changed", []))
        return value

    def _update(self, given: list[Any], changed: Any) -> None:
        try:
            for place, value in changed:
                update(given[place], self._decoded(value))
        except (TypeError, ValueError, IndexError):
            raise self._stop("error", "the program answers what is no message") from None

    def _send(self, message: dict[str, Any], shown: str) -> None:
        try:
            send(self._calls, message)
        except ChannelError:
            raise self._stop("error", f"the program had ended before {shown}") from None
        except ValueError as error:
            raise self._stop("unsupported", f"{shown}: {error}") from None

    def _receive(self, where: str) -> dict[str, Any]:
        try:
            return receive(self._replies)
        except ChannelError as error:
            ended = "has ended" in str(error)
            raise self._stop("error", f"the program ended {where}" if ended else f"{error} {where}") from None

    def _decoded(self, value: Any) -> Any:
        try:
            return decode(value)
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
            raise self._stop("error", "the program answers what is no message") from None

    def _stop(self, reason: str, detail: str) -> Stopped:
        self.stopped = Stopped(reason, detail)
        return self.stopped


class Remote:
    """A function of the program's. It is equal to nothing but itself."""

    def __init__(self, program: Program, name: str) -> None:
        self._program = program
        self.__name__ = self.__qualname__ = name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._program.call(self.__name__, arguments, named)


def judge(source: bytes, calls: int, replies: int, verdicts: int) -> None:
    """Run the tests and send a verdict: `reason`, `detail`, and how many calls the program answered."""
    program = Program(calls, replies)
    reason, detail = _judged(parse(source), program)
    if program.stopped is not None:
        reason, detail = program.stopped.reason, program.stopped.detail
    elif reason == "correct" and not program.answered:
        reason, detail = "unsupported", "the tests ask the program for nothing"
    outputs = {"outputs": program.outputs} if reason == "correct" else {}
    send(verdicts, {"reason": reason, "detail": detail[:2000], "calls": program.answered} | outputs)


def _judged(request: dict[str, Any], program: Program) -> tuple[str, str]:
    tests: list[str] = request["tests"]
    # Reproducible, and not what the program's own generator draws.
    random.seed(hashlib.sha256("\n".join(tests).encode(errors="replace")).digest())
    module = types.ModuleType("tests")
    sys.modules["tests"] = module
    names = module.__dict__
    try:
        given = program.names(request["names"])
        for text in request["setup"]:
            run(compile(text, "<setup>", "exec"), names)
        for name in request["names"]:
            names.pop(name, None)  # what the prompt has of it is only its beginning
        names |= {name: __import__(name) for name in request["modules"]} | given
        sys.modules["solution"] = solution = types.ModuleType("solution")  # what some tests import it from
        solution.__dict__.update(given)
        for place, text in enumerate(tests):
            _run_test(text, place, names, request, program)
        if request["check"] is not None:
            if request["check"] not in given:
                raise Stopped("error", f"the program defines no {request['check']}")
            names["check"](given[request["check"]])
        for name in request["functions"]:
            names[name]()
    except Stopped as error:
        return error.reason, error.detail
    except BaseException as error:
        if error is program.raised:
            return ("correct", "") if request["only_outputs"] else ("error", program.last)
        if isinstance(error, AssertionError):
            return "wrong result", _shown(error, tests, program)
        return "error", f"{described(error)} {_shown(error, tests, program)}"
    return "correct", ""


class _Unchecked(ast.NodeTransformer):
    """Assertions as expressions whose value nobody looks at: what is expected does not count."""

    def visit_Assert(self, node: ast.Assert) -> ast.Expr:
        return ast.copy_location(ast.Expr(node.test), node)


def _run_test(text: str, place: int, names: dict[str, Any], request: dict[str, Any], program: Program) -> None:
    """Run a test; where only outputs count, without its assertions, and what the program raises ends this one alone."""
    file = f"<tests {place}>"
    if not request["only_outputs"]:
        run(compile(text, file, "exec"), names)
        return
    try:
        run(compile(_Unchecked().visit(ast.parse(text)), file, "exec"), names)
    except Exception as error:
        if error is not program.raised:
            raise


def _shown(error: BaseException, tests: list[str], program: Program) -> str:
    """The line of the tests that failed, and what the program had said last."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<tests ")]
    text = ""
    if lines:
        place = int(lines[-1].filename.strip("<>").split()[1])
        number = lines[-1].lineno or 1
        text = " ".join(tests[place].splitlines()[number - 1].split())[:_SHOWN]
    return f"in {text!r}: {program.last}" if program.last else f"in {text!r}"


def _exception(names: Any, arguments: Any, detail: str) -> BaseException:
    """What a program raised as the nearest exception that Python itself has."""
    for name in names if isinstance(names, list) else []:
        kind = getattr(builtins, name, None) if isinstance(name, str) else None
        if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(kind, _NEVER_RAISED):
            continue
        try:
            return kind(*arguments)
        except Exception:  # it takes other values than the class that the program made of it
            continue
    return RuntimeError(detail)


def _short(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
