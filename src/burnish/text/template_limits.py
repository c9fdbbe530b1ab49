"""A sandbox in which a chat template can neither hang nor eat memory.

jinja2's sandbox keeps a template from the computer's files, not from `range(99999)` in `range(99999)` or from
`'a' * 10**10`. Here every turn of a loop, call, filter and test passes a meter, which looks at the processor time of
its own thread (so that it works in any thread, and a busy machine is no reason to refuse); and what could make a large
value is asked first how large. The limits are far from what conversations need, and grow with the size of the messages.
"""

import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from types import BuiltinMethodType, GeneratorType
from typing import Any, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MAX_SOURCE = 2**18
"""Characters of a template; the largest published ones have a tenth."""
MAX_SECONDS = 10.0
"""Processor time of one rendering, which takes a thousandth of that; slow processors take three times as long."""
MAX_TEXT = 2**22
"""Characters of any value, and entries of a list times their size."""
MAX_TOTAL = 2**27
"""Characters of all values that one rendering makes."""
MAX_BITS = 2**16
"""Of a whole number."""

_MAX_RANGE = 100_000  # as in jinja2's sandbox
_ENTRY = 16  # characters that an entry of a list counts as
_STEPS_BETWEEN_LOOKS = 512
# Filters that take more than one pass over a text.
_SLOW = frozenset({"striptags", "urlize", "wordwrap", "pprint", "xmlattr", "sum"})
# A width or precision of six digits, or one that another value says, in printf's form or in Python's.
_WIDE = re.compile(r"%(\([^)]*\))?[-#0 +]*(\*|\d{6}|\d*\.(\*|\d{6}))|\{[^{}]*:[^{}]*(\d{6}|\{)")

_Item = TypeVar("_Item")


class LimitError(jinja2.TemplateRuntimeError):
    """A template wants more time or memory than any conversation needs."""


class _Meter:
    """What one rendering has used."""

    def __init__(self, given: object) -> None:
        self.made = self._steps = 0
        self._deadline: float | None = None
        self._known: dict[int, tuple[object, int, int]] = {}
        n_characters, _ = self.measure(given)
        self.max_text = max(MAX_TEXT, 8 * n_characters)
        self.max_total = max(MAX_TOTAL, 128 * n_characters)

    def step(self) -> None:
        self._steps += 1
        if self._steps % _STEPS_BETWEEN_LOOKS:
            return
        # To ask for the time costs more than to render a short conversation, which never comes here.
        now = time.thread_time()
        if self._deadline is None:
            self._deadline = now + MAX_SECONDS
        elif now > self._deadline:
            raise LimitError(f"it computes for more than {MAX_SECONDS:.0f} seconds")

    def make(self, size: int) -> None:
        """Count what is made, of the size in characters."""
        self.made += size
        if size > self.max_text or self.made > self.max_total:
            raise LimitError(f"it makes a text of more than {self.max_text:,} characters, or many large ones")

    def measure(self, value: object) -> tuple[int, int]:
        """Characters in which a value could be written, and how deep it nests; values that it has twice count twice."""
        if isinstance(value, str | bytes):
            return len(value), 0
        if isinstance(value, int):
            return value.bit_length() // 3 + 1, 0
        if isinstance(value, Mapping | list | tuple):
            if (known := self._known.get(id(value))) is not None:
                return known[1:]
            self._known[id(value)] = (value, 0, 0)  # what holds itself is written once
            entries = [*value, *value.values()] if isinstance(value, Mapping) else value
            found = [self.measure(entry) for entry in entries]
            size, depth = sum(2 + each for each, _ in found), 1 + max((depth for _, depth in found), default=0)
            # Kept with the value, so that no other one gets its id; a template cannot change it.
            self._known[id(value)] = (value, size, depth)
            return size, depth
        if isinstance(value, Namespace):
            return self.measure(dict(value._Namespace__attrs))
        return 8, 0


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox with a meter. Templates are compiled and rendered within `metered`."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._local = threading.local()
        self.globals["range"] = self._range
        self.finalize = self.plain
        for functions in (self.tests, self.filters):
            functions.update({name: self._limited(name, function) for name, function in functions.items()})

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Replace a filter."""
        self.filters[name] = self._limited(name, function)

    @contextmanager
    def metered(self, given: object = None) -> Iterator[None]:
        """Limit what is compiled or rendered within; given: what the template reads."""
        self._local.meter = _Meter(given)
        try:
            yield
        finally:
            del self._local.meter

    @property
    def meter(self) -> _Meter:
        """That of the rendering in this thread."""
        meter: _Meter = self._local.meter
        return meter

    def step(self) -> bool:
        """Count a turn of a loop."""
        self.meter.step()
        return True

    def plain(self, value: _Item) -> _Item:
        """Check a value that is about to be written, compared or hashed."""
        if not isinstance(value, str) and isinstance(value, Mapping | list | tuple | Namespace):
            size, _ = self.meter.measure(value)
            if size > self.meter.max_text:
                raise LimitError(f"it writes or compares a value of more than {self.meter.max_text:,} characters")
        return value

    def concat(self, parts: Iterable[str]) -> str:
        """Join what a template, a macro or a block writes."""
        found, size = [], 0
        for part in parts:
            size += len(part)
            if size > self.meter.max_text:
                raise LimitError(f"it writes more than {self.meter.max_text:,} characters")
            found.append(part)
        self.meter.make(size)
        return "".join(found)

    def joined(self, join: Callable[[Iterable[Any]], str], parts: tuple[Any, ...]) -> str:
        """`a ~ b`."""
        self.meter.make(sum(self.meter.measure(part)[0] for part in parts))
        return join(parts)

    def sliced(self, value: Any, part: slice) -> Any:
        """`a[b:c]`."""
        return self._made(value[part])

    def getitem(self, obj: Any, argument: Any) -> Any:
        return super().getitem(obj, self.plain(argument) if type(argument) is tuple else argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (as jinja2 does)
        __self.meter.step()
        arguments = [*args, *kwargs.values()]
        for value in arguments:
            __self.plain(value)
        method = getattr(__obj, "__wrapped__", __obj)
        if isinstance(method, BuiltinMethodType) and isinstance(method.__self__, str | bytes | int | float):
            if method.__name__ == "join":
                args = tuple(map(_entries, args))
                arguments = [*args, *kwargs.values()]
            if method.__name__ in ("format", "format_map"):
                __self._check_format(str(method.__self__))
            __self._check_product(method.__name__, [method.__self__, *arguments])
        return __self._made(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            bits = {
                "*": left.bit_length() + right.bit_length(),
                "**": left.bit_length() * max(right, 1),
            }.get(operator, 0)
            if bits > MAX_BITS:
                raise LimitError(f"it computes a number of more than {MAX_BITS:,} bits")
        elif operator == "*":
            times, value = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(times, int) and isinstance(value, str | bytes | list | tuple):
                self.meter.make(max(times, 0) * len(value) * (1 if isinstance(value, str | bytes) else _ENTRY))
        elif operator == "%" and isinstance(left, str | bytes):
            self._check_format(str(left))
            self._check_product("%", [left, right])
        return self._made(super().call_binop(context, operator, left, right))

    def _made(self, value: _Item) -> _Item:
        """Count a value that was made."""
        if isinstance(value, str | bytes):
            self.meter.make(len(value))
        elif isinstance(value, list | tuple | dict):
            self.meter.make(_ENTRY * len(value))
        return value

    def _limited(self, name: str, function: Any) -> Callable[..., Any]:
        """A filter or test with the checks of what it is given and makes."""

        @wraps(function)
        def limited(*args: Any, **kwargs: Any) -> Any:
            self.meter.step()
            if name == "join":
                args = tuple(map(_entries, args))
            values = [
                value
                for value in (*args, *kwargs.values())
                if isinstance(value, str | bytes | int | Mapping | list | tuple | Namespace)
                and not isinstance(value, Context)
            ]
            for value in values:
                self.plain(value)
            if name == "format" and isinstance(args[0], str):
                self._check_format(args[0])
            self._check_product(name, values)
            made = self._made(function(*args, **kwargs))
            return self._stepped(made) if isinstance(made, GeneratorType) else made

        return limited

    def _stepped(self, items: Generator[Any, None, None]) -> Iterator[Any]:
        for item in items:
            self.meter.step()
            yield self.plain(item)

    def _check_product(self, name: str, values: list[Any]) -> None:
        """Refuse what could make a value, and take a time, of the product of the two largest arguments."""
        sizes, deepest = [], 0
        for value in values:
            size, depth = self.meter.measure(value)
            sizes.append(abs(value) if isinstance(value, int) and value.bit_length() < 64 else size)
            deepest = max(deepest, depth)
        sizes.sort()
        product = (1 + sizes[-2] if len(sizes) > 1 else 1) * (sizes[-1] if sizes else 0)
        if name in ("tojson", "pprint"):
            product *= 1 + deepest
        if product > 64 * self.meter.max_text or (name in _SLOW and sum(sizes) > self.meter.max_text // 16):
            raise LimitError(f"{name} could make a text of more than {64 * self.meter.max_text:,} characters")

    def _check_format(self, form: str) -> None:
        if _WIDE.search(form):
            raise LimitError("it formats a value wider than any line, or as wide as another value says")

    def _range(self, *args: int) -> range:
        found = range(*args)
        if len(found) > _MAX_RANGE:
            raise LimitError(f"it counts to {len(found):,}; a range has at most {_MAX_RANGE:,} numbers")
        return found


def _entries(value: Any) -> Any:
    """A list of what an iterator gives, so that it can be measured."""
    return list(value) if isinstance(value, Iterator | range) else value


class _LimitedCode(CodeGenerator):
    """Code of templates in which loops, and what makes values without a call, pass by the environment."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802 (jinja2's name)
        step = nodes.EnvironmentAttribute("step()")
        node.body = [nodes.ExprStmt(step).set_lineno(node.lineno), *node.body]
        if node.test is not None:
            node.test = nodes.And(step, node.test).set_lineno(node.lineno)
        super().visit_For(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 (jinja2's name)
        join = "markup_join" if frame.eval_ctx.autoescape else "str_join"
        if frame.eval_ctx.volatile:
            join = "(markup_join if context.eval_ctx.volatile else str_join)"
        self.write(f"environment.joined({join}, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 (jinja2's name)
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.sliced(")
        self.visit(node.node, frame)
        self.write(", slice(")
        for bound in (node.arg.start, node.arg.stop, node.arg.step):
            if bound is None:
                self.write("None")
            else:
                self.visit(bound, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802 (jinja2's name)
        if any(isinstance(part, nodes.Const) for part in (node.expr, *(each.expr for each in node.ops))):
            super().visit_Compare(node, frame)  # one value against another's entries
            return
        self.write("(")
        self._plain(node.expr, frame)
        for each in node.ops:
            self.write(f" {operators[each.op]} ")
            self._plain(each.expr, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802 (jinja2's name)
        self.write("{")
        for item in node.items:
            self._plain(item.key, frame)
            self.write(": ")
            self.visit(item.value, frame)
            self.write(", ")
        self.write("}")

    def _plain(self, node: nodes.Expr, frame: Frame) -> None:
        self.write("environment.plain(")
        self.visit(node, frame)
        self.write(")")


LimitedEnvironment.code_generator_class = _LimitedCode
