"""What all commands share: how a line is printed, and how one that was interrupted ends."""

from burnish.terminal import printable

INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended."""


def say(line: object) -> None:
    """Print one line for a person or a pipe, unwrapped; names of files and the like cannot steer the terminal."""
    print(printable(str(line)))
