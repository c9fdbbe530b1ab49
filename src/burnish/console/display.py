"""Progress of long work: a bar on a terminal, a line now and then in a log file."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from burnish.runs.progress import Bar
from burnish.terminal import duration, printable

LOG_SECONDS = 15.0
"""Where the output is not a terminal, a bar becomes one line in so many seconds."""


class Display:
    """The reporter of the terminal. `quiet` swallows everything."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet, highlight=False)
        # A terminal that was closed, or a full disk behind the output, must not end hours of work.
        self.console.file = cast("IO[str]", _Steady(self.console.file))

    def say(self, text: str, style: str | None = None) -> None:
        """Print plain text; brackets in it are not markup, and what would steer the terminal is shown as escapes."""
        self.console.print(printable(text), style=style, markup=False)

    def urgent(self, text: str) -> None:
        """Write a line past all buffers, as a signal's handler must: it may have come in the middle of a `say`."""
        if not self.console.quiet:
            with suppress(OSError):
                os.write(2, f"\n{text}\n".encode())

    def show(self, renderable: Any) -> None:
        """Print a table or a panel."""
        self.console.print(renderable)

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        """Show the progress of `total` units; the caller reports through `Bar.update`."""
        if not self.console.is_terminal:
            yield _Lines(self, title, total, unit)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[numbers]}", style="cyan"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield _Live(progress, progress.add_task(printable(title), total=total, numbers=""))


class _Steady:
    """A stream whose failures are nobody's business; all else is that of the stream inside."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # ValueError: closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Live:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress = progress
        self.task = task

    def update(self, completed: int, **numbers: float) -> None:
        self.progress.update(self.task, completed=completed, numbers=_numbers(numbers))


class _Lines:
    def __init__(self, display: Display, title: str, total: int, unit: str) -> None:
        self.display, self.title, self.total, self.unit = display, title, total, unit
        self.start = self.printed = time.monotonic()
        self.first: int | None = None

    def update(self, completed: int, **numbers: float) -> None:
        now = time.monotonic()
        if self.first is None:
            # A resumed piece of work starts in the middle; its rate counts from there.
            self.first = completed
        if now - self.printed < LOG_SECONDS and completed < self.total:
            return
        self.printed = now
        done, left = completed - self.first, self.total - completed
        remaining = f"  {duration((now - self.start) / done * left)} left" if done > 0 and left > 0 else ""
        self.display.say(
            f"  {self.title}  {completed}/{self.total} {self.unit}{remaining}  {_numbers(numbers)}".rstrip()
        )


def _numbers(numbers: dict[str, float]) -> str:
    return "  ".join(
        f"{name.replace('_', ' ')} {value:,.0f}" if abs(value) >= 100 else f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in numbers.items()
    )
