"""Options that `burnish chat` and `burnish serve` have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli.saying import asking

if TYPE_CHECKING:
    from burnish.console.agent import ToolOptions

Retrieve = Annotated[
    Path | None, typer.Option(metavar="INDEX", help="Answer from passages of this index; the recipe's if left out.")
]
Intents = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Look up answers by what a question wants; `burnish intents` makes it."),
]
Examples = Annotated[
    Path | None,
    typer.Option(metavar="FILE.jsonl", help="Solved examples, of which those like a question stand before it."),
]
ToolFiles = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE.py", help="Let the model call the functions of this file, or `database`; may be repeated."
    ),
]
McpServers = Annotated[
    list[str] | None,
    typer.Option(metavar="COMMAND_OR_URL", help="Let it call the tools of an MCP server; may be repeated."),
]
MaxCalls = Annotated[int, typer.Option(min=1, help="Calls of tools for a question.")]
CallSeconds = Annotated[float, typer.Option(min=0.1, help="Seconds that one call may take.")]
Yes = Annotated[bool, typer.Option("--yes", help="Agree to what the tools run, start and contact.")]


def tool_options(
    head: str,
    tools: Sequence[str] | None,
    mcp: Sequence[str] | None,
    *,
    max_calls: int,
    call_seconds: float,
    yes: bool,
    trace: Path | None = None,
) -> "ToolOptions":
    """What these options say of tools. head: what a person is asked, before what the tools do."""
    from burnish.agents.tool import AgentLimits
    from burnish.console.agent import ToolOptions

    return ToolOptions(
        tools=tuple(tools or ()),
        mcp=tuple(mcp or ()),
        trace=trace,
        limits=AgentLimits(calls=max_calls, call_seconds=call_seconds),
        ask=asking(f"These tools are new here, or changed. {head}", yes=yes),
    )
