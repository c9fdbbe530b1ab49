"""How long work says what it does, whoever listens: a terminal, a log, a notebook, or nobody.

The floors from here upwards are given a `Reporter`; the one that prints is `burnish.console.display.Display`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol


class Bar(Protocol):
    """The progress of one piece of work."""

    def update(self, completed: int, **numbers: float) -> None:
        """`completed` units are done; `numbers` (loss, tokens/s, ...) are shown beside the bar."""


class Reporter(Protocol):
    """Where a run says what it does."""

    def say(self, text: str, style: str | None = None) -> None:
        """Show plain text; what in it would steer a terminal is shown as escapes."""

    def urgent(self, text: str) -> None:
        """Show a line past all buffers, as a signal's handler must: it may have come in the middle of a `say`."""

    def show(self, renderable: Any) -> None:
        """Show a table or a panel of rich's."""

    def bar(self, title: str, total: int, unit: str) -> AbstractContextManager[Bar]:
        """Show the progress of `total` units; the caller reports through `Bar.update`."""


class Silent:
    """The reporter that nobody hears."""

    def say(self, text: str, style: str | None = None) -> None:
        """Keep quiet."""

    def urgent(self, text: str) -> None:
        """Keep quiet."""

    def show(self, renderable: Any) -> None:
        """Keep quiet."""

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        """Keep quiet."""
        yield self

    def update(self, completed: int, **numbers: float) -> None:
        """Keep quiet."""
