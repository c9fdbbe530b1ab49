"""The command line: parse, call, print. A file is a group of commands.

torch and everything that needs it is imported inside the commands, so that `burnish --help` answers at once.
"""

import errno
import os
import sys
import traceback
from contextlib import suppress
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from burnish import __version__
from burnish.cli import chat, data, doctor, evaluating, flywheel, lab, models, recipes, retrieving, serve, starting
from burnish.cli.streams import steady_streams
from burnish.errors import BurnishError, is_panic
from burnish.terminal import printable

__all__ = ["app", "main"]

app = typer.Typer(
    name="burnish",
    help="From open language-model weights and your own documents to an aligned, domain-specific model.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
# In the order of `burnish --help`.
for group in (starting, recipes, chat, serve, evaluating, retrieving, models, doctor):
    app.add_typer(group.commands)
app.add_typer(data.data_commands, name="data")
app.add_typer(flywheel.flywheel_commands, name="flywheel")
app.add_typer(lab.lab_commands, name="lab")


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(f"burnish {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error that the user can mend is one message and exit status 1."""
    steady_streams()
    try:
        _call()
    except BurnishError as error:
        message = printable(f"error: {error}")
        Console(stderr=True, highlight=False).print(message, style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            _report_bug()
        print(f"error: cannot write: {error.strerror}; make room, or send the output elsewhere", file=sys.stderr)
        with suppress(OSError):  # what is still to be written would fail once more at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception:
        _report_bug()
    except BaseException as error:
        if not is_panic(error):
            raise
        message = f"error: a library has failed on what it was given, such as a damaged file: {error}"
        print(printable(message), file=sys.stderr)
        sys.exit(1)


def _call() -> None:
    """Run the command, and write out what it has printed: a file without room for it is told here."""
    try:
        app()
    except SystemExit:
        if sys.stdout is not None:
            sys.stdout.flush()
        raise


def _report_bug() -> NoReturn:
    """Print the traceback of what nobody has foreseen, and how to report it."""
    print(printable(traceback.format_exc()), file=sys.stderr)
    print(
        f"\nThis is a bug in Burnish {__version__}. Please report it on the project's issue page, with the lines "
        "above and the output of `burnish doctor`.",
        file=sys.stderr,
    )
    sys.exit(1)
