"""Tools of other programs over the Model Context Protocol, by its official SDK: a command to start, or an address.

What is started or contacted is for the caller to say, before it happens. A server's descriptions and results are texts
that the model reads: they are data, and whoever writes the server can put anything there.
"""

import importlib.util
import shlex
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from burnish.agents.tool import Tool
from burnish.errors import BurnishError

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

START_SECONDS = 30.0
MAX_TOOLS = 128
"""Of one server: more would fill the model's context with their descriptions."""


@dataclass(frozen=True)
class McpServer:
    """Where a server is: a command with its arguments, or an http(s) address."""

    target: str

    def __post_init__(self) -> None:
        if not self.target.strip():
            raise BurnishError("--mcp: expected a command, such as 'python server.py', or an address, https://...")
        if self.is_address and not urlsplit(self.target).hostname:
            raise BurnishError(f"--mcp {self.target}: no host in this address")

    @property
    def is_address(self) -> bool:
        return self.target.startswith(("http://", "https://"))

    @property
    def line(self) -> str:
        """What it does to this machine, for a person to agree to."""
        if self.is_address:
            return f"sends to {urlsplit(self.target).netloc} what the model writes as arguments of its tools"
        return f"starts {self.target}, with your rights"

    @contextmanager
    def opened(self, *, seconds: float = 30.0) -> Iterator[list[Tool]]:
        """Its tools, while it runs. seconds: of a call. Raises BurnishError where it does not start, or has no tool."""
        if importlib.util.find_spec("mcp") is None:
            raise BurnishError("tools of other programs need the SDK of MCP: pip install 'burnish[agents]'")
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal() as portal:
            connection = portal.wrap_async_context_manager(self._client(seconds))
            try:
                client = connection.__enter__()
            except BaseException as error:
                raise BurnishError(f"--mcp {self.target}: does not answer: {_reason(error)}") from error
            try:
                yield self._tools(portal, client)
            finally:
                _close(connection)

    def _client(self, seconds: float) -> Any:
        from mcp.client.client import Client
        from mcp.client.stdio import StdioServerParameters

        if self.is_address:
            return Client(self.target, read_timeout_seconds=seconds)
        command, *arguments = shlex.split(self.target)
        parameters = StdioServerParameters(command=command, args=arguments)
        return Client(parameters, read_timeout_seconds=seconds)

    def _tools(self, portal: "BlockingPortal", client: Any) -> list[Tool]:
        try:
            listed = portal.call(client.list_tools).tools
        except BaseException as error:
            raise BurnishError(f"--mcp {self.target}: does not list its tools: {_reason(error)}") from error
        if not 0 < len(listed) <= MAX_TOOLS:
            raise BurnishError(f"--mcp {self.target}: lists {len(listed)} tools; expected 1 to {MAX_TOOLS}")

        def tool(one: Any) -> Tool:
            def run(arguments: Mapping[str, Any]) -> str:
                try:
                    result = portal.call(client.call_tool, one.name, dict(arguments))
                except Exception as error:
                    raise BurnishError(_reason(error)) from error
                text = _text(result)
                if result.is_error:
                    raise BurnishError(text or "the server says no more than that it failed")
                return text

            return Tool(one.name, one.description or "", dict(one.input_schema), run, self.target)

        return [tool(one) for one in listed]


def _text(result: Any) -> str:
    """The texts of a result; what is no text is named, not sent to the model."""
    parts = [
        part.text if part.type == "text" else f"({part.type}, which the model cannot read)" for part in result.content
    ]
    return "\n".join(parts)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _close(connection: AbstractContextManager[Any]) -> None:
    try:
        connection.__exit__(None, None, None)
    except Exception:  # a server that fails while it ends has nothing more to say
        return
