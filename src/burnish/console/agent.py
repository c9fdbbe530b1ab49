"""Questions to a model that calls tools; every hop is shown, and may be kept as a row to learn from.

Functions of a file run as the user's own code, and servers are started or contacted: both are said before, and agreed
to once. A database of the run is asked through the sandbox alone.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

import burnish
from burnish.agents.agent import Agent
from burnish.agents.database import database_tool
from burnish.agents.episode import Ended
from burnish.agents.functions import ToolsFile
from burnish.agents.mcp import McpServer
from burnish.agents.tool import AgentLimits, Tool, ToolBox, ToolResult
from burnish.agents.traces import append_trace, trace_row
from burnish.agents.turn import Calling, Over, Said
from burnish.console.chat import HELP, ChatOptions, Target, command_of, forgotten, obey
from burnish.console.display import Display
from burnish.errors import BurnishError, DataError
from burnish.files import sha256
from burnish.recipes.runner.trust import TrustRequest, agree_once
from burnish.recipes.schema.judges import open_judges
from burnish.recipes.schema.python_files import imported_packages
from burnish.rewards.sql import SqlVerifier
from burnish.runs.hashes import digest
from burnish.terminal import printable

DATABASE = "database"
"""What `--tools` calls the database of a run's recipe."""
_SHOWN_LINES = 8
_WHY: dict[Ended, str] = {
    "cut": "the answer reached its longest length; --max-new-tokens allows more",
    "calls": "the limit of calls was reached; --max-calls allows more",
    "time": "the time of a question is over",
    "context": "the conversation fills the model's context",
}


@dataclass(frozen=True, kw_only=True)
class ToolOptions:
    """What the command line says of tools: files and `database`, servers of MCP, limits, and where traces go."""

    tools: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    trace: Path | None = None
    limits: AgentLimits = field(default_factory=AgentLimits)
    ask: Callable[[list[str]], bool] | None = None

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return bool(self.tools or self.mcp)


def requests(options: ToolOptions) -> list[TrustRequest]:
    """What the tools execute, start and contact, for a person to agree to by its content: a change asks anew."""
    found = []
    for name in options.tools:
        if name == DATABASE:
            continue
        file = Path(name)
        if not file.is_file():
            raise BurnishError(f"--tools {name}: no such file; expected Python with functions, or the word {DATABASE}")
        packages = ", ".join(sorted(imported_packages(file)))
        imports = f", which imports {packages}" if packages else ""
        line = f"runs the functions of {file}{imports}, with your rights"
        found.append(TrustRequest(line, digest(["tools", str(file.resolve()), sha256(file)])))
    servers = [McpServer(target) for target in options.mcp]
    return found + [TrustRequest(one.line, digest(["mcp", one.target])) for one in servers]


@contextmanager
def opened_tools(target: Target, options: ToolOptions, console: Console) -> Iterator[Callable[[], ToolBox]]:
    """What makes the tools of a new conversation, once it is agreed to what they do.

    Raises BurnishError where it is not, or where something is wrong with one.
    """
    agree_once(requests(options), "tools that", "no tools", options.ask)
    with ExitStack() as stack:
        files = [ToolsFile(Path(name)) for name in options.tools if name != DATABASE]
        fixed: list[Tool] = []
        if DATABASE in options.tools:
            asked = [judge for judge in target.config.judges if judge.type == "sql"]
            if not asked or target.context is None:
                raise BurnishError(
                    f"--tools {DATABASE}: the recipe of this run has no judge of type sql in `chat.judges`"
                )
            context = replace(target.context, display=Display(console))
            judges = stack.enter_context(open_judges(context, asked[:1]))
            verifier = next(one.judge for one in judges if isinstance(one.judge, SqlVerifier))
            fixed.append(database_tool(verifier.sandbox))
        for name in options.mcp:
            fixed += stack.enter_context(McpServer(name).opened(seconds=options.limits.call_seconds))
        yield lambda: ToolBox([*(tool for file in files for tool in file.open()), *fixed], options.limits)


def hold_agent(
    target: Target, questions: Iterable[str], console: Console, options: ChatOptions, tools: ToolOptions
) -> None:
    """Answer questions by a model that calls tools. Commands are those of a chat, with `/tools`."""
    with opened_tools(target, tools, console) as open_box:
        decoder, tokenizer = burnish.load(target.model, device=target.device, compute_dtype=target.compute_dtype)
        agent = Agent(
            decoder,
            tokenizer,
            open_box,
            system=target.prompt(options.system),
            sampling=options.sampling(target.config),
            memory=target.config.memory if options.memory is None else options.memory,
            seed=secrets.randbits(32) if options.seed is None else options.seed,
        )
        for question in questions:
            if (command := command_of(question)) is not None:
                said = _obey(agent, *command)
                if said is None:
                    return
                console.print(Text(printable(said), style="dim"))
                continue
            try:
                _answer(agent, question.removeprefix("/") if question.startswith("//") else question, console)
                if tools.trace is not None:
                    opening = [{"role": "system", "content": agent.system}] if agent.system else []
                    append_trace(tools.trace, trace_row([*opening, *agent.turns], agent.box.definitions))
            except (DataError, KeyboardInterrupt) as error:
                if not options.keyboard:
                    raise
                forgotten(error, console)


def _answer(agent: Agent, question: str, console: Console) -> None:
    """Show what happens until a question is answered."""
    fresh = True
    for event in agent.ask(question):
        if isinstance(event, Said):
            console.out(printable(event.text), end="", highlight=False)
            fresh = event.text.endswith("\n")
            continue
        if not fresh:
            console.out("")
            fresh = True
        if isinstance(event, Calling):
            arguments = ", ".join(
                f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in event.call.arguments.items()
            )
            console.print(Text(f"→ {printable(event.call.name)}({printable(arguments)})", style="cyan"))
        elif isinstance(event, Over):
            for why in event.wrong:
                console.print(Text(printable(f"looked like a call and is none: {why}"), style="yellow"))
            if event.ended in _WHY:
                console.print(Text(_WHY[event.ended], style="yellow"))
        else:
            _show_result(event.result, console)


def _show_result(result: ToolResult, console: Console) -> None:
    lines = printable(result.text).splitlines() or ["(nothing)"]
    shown = "\n".join(f"  {line}" for line in lines[:_SHOWN_LINES])
    more = f"\n  ... {len(lines) - _SHOWN_LINES} more lines" if len(lines) > _SHOWN_LINES else ""
    console.print(Text(f"{shown}{more}  ({result.seconds:.1f} s)", style="red" if result.failed else "dim"))


def _obey(agent: Agent, name: str, rest: str) -> str | None:
    """Do what a command says; returns what to show, None to end the chat."""
    if name == "tools":
        return "\n".join(f"{tool.name}: {tool.description} ({tool.source})" for tool in agent.box.tools)
    return obey(agent, name, rest, f"/tools lists the tools, {HELP}")
