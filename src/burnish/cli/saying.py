"""What commands share: how a line is printed, how a person agrees, and how one that was interrupted ends."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from burnish.cli.streams import gone
from burnish.terminal import printable

if TYPE_CHECKING:
    from burnish.recipes.plan.plan import Plan

INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended."""


def at_terminal() -> bool:
    """Whether a person can be asked: the input is a keyboard, and what is asked is seen."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def say(line: object) -> None:
    """Print one line for a person or a pipe, unwrapped; names of files and the like cannot steer the terminal."""
    print(printable(str(line)))


def aside(line: str) -> None:
    """As `say`, to standard error: what a person waits for, and no part of the output."""
    print(printable(line), file=sys.stderr, flush=True)


def made(files: Iterable[Path]) -> None:
    """Print what long work has made, a file a line; to standard error where nobody reads the output any more."""
    files = list(files)
    for file in files:
        say(file)
    if gone(sys.stdout):
        aside(f"nobody reads the output any more; the work was finished: {', '.join(map(str, files))}")


def agree(plan: "Plan", *, yes: bool) -> None:
    """Ask once, on a terminal, whether a recipe may do what it does besides computing; `yes` agrees at once."""
    from burnish.recipes.runner.trust import ask_once

    ask_once(plan, asking("This recipe is new here, or changed. It", yes=yes))


def asking(head: str, *, yes: bool) -> "Callable[[list[str]], bool] | None":
    """Who is asked whether something may be done, shown behind `head`: nobody where `yes`; None without a terminal."""
    if yes:
        return partial(_announce, head)
    return partial(_ask, head) if at_terminal() else None


def _announce(head: str, lines: list[str]) -> bool:
    """Show what something does besides computing, which --yes has agreed to."""
    console = Console(stderr=True, highlight=False)
    console.print(head, style="bold")
    for line in lines:
        console.print(printable(f"  {line}"), markup=False, soft_wrap=True)
    return True


def _ask(head: str, lines: list[str]) -> bool:
    """Show what something would do, and return whether the person at the terminal agrees."""
    _announce(head, lines)
    console = Console(stderr=True, highlight=False)
    console.print("with all that you may do on this machine. Look at it first if you do not know it.")
    try:
        return console.input("Trust it? [bold]y[/]es or [bold]n[/]o: ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
