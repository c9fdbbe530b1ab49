"""`burnish chat`: questions to a model."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from burnish.cli.options import (
    CallSeconds,
    Examples,
    Intents,
    MaxCalls,
    McpServers,
    Retrieve,
    ToolFiles,
    Yes,
    tool_options,
)
from burnish.cli.saying import INTERRUPTED
from burnish.cli.streams import input_lines, while_read
from burnish.errors import BurnishError

commands = typer.Typer()


@commands.command(epilog="Example: burnish chat runs/flights --ask 'How many flights left JFK in May?'")
def chat(
    target: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, a model folder or a .gguf file.")
    ],
    ask: Annotated[list[str] | None, typer.Option(help="Answer this question and stop; may be repeated.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt, instead of the recipe's.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="0 always takes the most probable token; 0, or 0.7 with --votes.")
    ] = None,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Draw from the fewest tokens that hold this.")] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from so many tokens; 0 from all.")] = 0,
    repetition_penalty: Annotated[
        float | None, typer.Option(min=0.01, help="Above 1, what was said is less likely; the recipe's if left out.")
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(help="End an answer before this string; may be repeated; the recipe's if left out."),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer, in tokens; the recipe's, or 256, if left out.")
    ] = None,
    memory: Annotated[
        bool | None, typer.Option("--memory/--no-memory", help="Whether a question sees the turns before it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Where sampling starts; another one each time.")] = None,
    votes: Annotated[
        int, typer.Option(min=1, help="Sample so many answers, and give the one whose result most have.")
    ] = 1,
    choose: Annotated[
        Literal["votes", "best", "weighted_votes"],
        typer.Option(help="With --votes, which answer is given: what most come to, or by judges' scores."),
    ] = "votes",
    retrieve: Retrieve = None,
    passages: Annotated[
        int | None, typer.Option(min=1, help="Passages for a question; the recipe's, or 4, if left out.")
    ] = None,
    passage_tokens: Annotated[
        int | None, typer.Option(min=1, help="Their tokens at most; the recipe's, or 1024, if left out.")
    ] = None,
    grammar: Annotated[
        Literal["sql"] | None,
        typer.Option(help="sql: each answer is a query that names only what the recipe's database has."),
    ] = None,
    ranking: Annotated[
        Literal["bm25", "embeddings", "fused", "graph"] | None,
        typer.Option(
            help="How passages are found; the recipe's, or fused where the index has vectors, else bm25, if left out."
        ),
    ] = None,
    intents: Intents = None,
    examples: Examples = None,
    tools: ToolFiles = None,
    mcp: McpServers = None,
    max_calls: MaxCalls = 8,
    call_seconds: CallSeconds = 30.0,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Add each conversation with its calls, to learn from.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Ask a model. With a run's folder its recipe decides how: for SQL the query and its result are shown.

    Questions come from --ask, from a pipe (one a line), or from the keyboard, where /help lists the commands.
    """
    from burnish.console.chat import ChatOptions, find_target, hold_chat

    console = Console(highlight=False)
    try:
        options = ChatOptions(
            system=system,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            stop=tuple(stop) if stop else None,
            max_new_tokens=max_new_tokens,
            memory=memory,
            seed=seed,
            votes=votes,
            choose=choose,
            retrieve=retrieve,
            passages=passages,
            passage_tokens=passage_tokens,
            grammar=grammar,
            ranking=ranking,
            intents=intents,
            examples=examples,
            keyboard=not ask and sys.stdin is not None and sys.stdin.isatty(),
        )
        questions = ask or (while_read if trace is None else iter)(_questions(console))
        if not tools and not mcp:
            if trace is not None:
                raise BurnishError("--trace: keeps calls of tools; add --tools or --mcp")
            hold_chat(find_target(target), questions, console, options)
            return
        from burnish.console.agent import hold_agent

        if votes > 1 or retrieve is not None or grammar is not None or ranking is not None:
            raise BurnishError(
                "--tools: a model that calls tools gives one answer, from what they return; leave out "
                "--votes, --retrieve, --ranking and --grammar"
            )
        head = "Chatting with them"
        offered = tool_options(head, tools, mcp, max_calls=max_calls, call_seconds=call_seconds, yes=yes, trace=trace)
        hold_agent(find_target(target), questions, console, options, offered)
    except KeyboardInterrupt:
        console.print()
        raise typer.Exit(INTERRUPTED) from None


def _questions(console: Console) -> Iterator[str]:
    """Lines of standard input, with a prompt where that is a keyboard."""
    if sys.stdin is None:  # closed by whoever started the program
        return
    if not sys.stdin.isatty():
        yield from input_lines()
        return
    with suppress(ImportError):
        import readline  # noqa: F401 (its import gives input() a history and line editing)
    console.print("Ask a question; /help lists commands, Ctrl-D ends.", style="dim")
    while True:
        try:
            question = console.input("[bold cyan]> [/]").strip()
        except EOFError:
            console.print()
            return
        if question:
            yield question
