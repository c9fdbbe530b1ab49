"""A tool, the limits of its calls, and what came of one."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.errors import BurnishError
from burnish.text.tool_calls.checking import Tools
from burnish.text.tool_calls.values import ToolCall


@dataclass(frozen=True, eq=False)
class Tool:
    """Something that a model may call.

    parameters: the JSON schema of its arguments. run: gets checked arguments; what it returns goes to the model, text
    as it is and everything else as JSON. source: what a person is told of where it comes from.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Mapping[str, Any]], Any]
    source: str = ""

    @property
    def definition(self) -> dict[str, Any]:
        """As chat templates read it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


@dataclass(frozen=True, kw_only=True)
class AgentLimits:
    """What one question may cost.

    calls: of tools. call_seconds: of one call, seconds: of all hops together, on the clock. result_characters: of one
    result; what is longer is cut, and says so.
    """

    calls: int = 8
    call_seconds: float = 30.0
    seconds: float = 300.0
    result_characters: int = 4000


@dataclass(frozen=True)
class ToolResult:
    """What came of a call. text: what the model gets. failed: whether that is why there is no result.

    columns, rows: the table that a person sees of it, where it has one.
    """

    text: str
    failed: bool = False
    seconds: float = 0.0
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()


@dataclass(frozen=True)
class Shown:
    """What a tool returns of which a person sees more than the model. text: the model's; columns, rows: a table."""

    text: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()


@dataclass(frozen=True, eq=False)
class ToolBox:
    """Tools of one conversation. Raises BurnishError where two have one name, or one's parameters are no schema."""

    tools: Sequence[Tool]
    limits: AgentLimits = field(default_factory=AgentLimits)

    def __post_init__(self) -> None:
        object.__setattr__(self, "checks", Tools([tool.definition for tool in self.tools]))

    checks: Tools = field(init=False, repr=False)

    @property
    def definitions(self) -> list[Mapping[str, Any]]:
        """All tools as chat templates read them."""
        return self.checks.definitions

    def call(self, call: ToolCall) -> tuple[ToolCall, ToolResult]:
        """Call a tool; the call with its arguments in the schema's types. Whatever goes wrong is the result's text."""
        call, problem = self.checks.checked(call)
        if problem is not None:
            return call, ToolResult(f"error: {problem}", failed=True)
        tool = next(one for one in self.tools if one.name == call.name)
        began = time.monotonic()
        shown, failed = self._run(tool, call.arguments)
        text, most = shown.text, self.limits.result_characters
        if len(text) > most:
            text = f"{text[:most]}\n... {len(text) - most:,} more characters are left out"
        return call, ToolResult(text, failed, time.monotonic() - began, shown.columns, shown.rows)

    def _run(self, tool: Tool, arguments: Mapping[str, Any]) -> tuple[Shown, bool]:
        """What a tool returns, and whether it failed. A function that takes too long is not waited for."""
        found: list[tuple[Shown, bool]] = []

        def run() -> None:
            try:
                found.append((as_shown(tool.run(arguments)), False))
            except BurnishError as error:
                found.append((Shown(f"error: {error}"), True))
            except Exception as error:  # of a user's function or another program
                found.append((Shown(f"error: {type(error).__name__}: {error}"), True))

        thread = threading.Thread(target=run, daemon=True, name=f"tool {tool.name}")
        thread.start()
        thread.join(self.limits.call_seconds)
        return found[0] if found else (Shown(f"error: no result within {self.limits.call_seconds:g} s"), True)


def as_shown(value: Any) -> Shown:
    """What a tool returned: text as it is, everything else as JSON."""
    if isinstance(value, Shown):
        return value
    return Shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
