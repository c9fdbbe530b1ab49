"""`burnish doctor`: what this machine has."""

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from burnish.terminal import printable

commands = typer.Typer()


@commands.command(epilog="Example: burnish doctor")
def doctor() -> None:
    """Show what this machine has, which number format is used and why, and which extras are missing for what."""
    from burnish.console.doctor import findings

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, finding in findings():
        table.add_row(name, Text(printable(finding)))
    Console(highlight=False).print(table)
