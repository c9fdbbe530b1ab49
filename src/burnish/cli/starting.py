"""`burnish init`: a project to begin with."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from burnish.cli.saying import at_terminal, say
from burnish.errors import BurnishError

commands = typer.Typer()


class Starter(StrEnum):
    """What `burnish init` writes."""

    documents = "documents"
    database = "database"


@commands.command(epilog="Example: burnish init assistant --template documents --docs handbook/")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into.")] = Path("assistant"),
    template: Annotated[
        Starter | None,
        typer.Option(help="What the model is to know: documents, or a database that it queries.", show_default=False),
    ] = None,
    docs: Annotated[
        Path | None, typer.Option(help="Documents: a folder of files of any kind; an example if left out.")
    ] = None,
    database: Annotated[
        Path | None, typer.Option(help="Database: a DuckDB or SQLite file; an example if left out.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to start from; SmolLM2-135M where it is installed.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Start a project: a recipe with comments and a few rows of data, which run as they are and are yours to edit.

    What is not given is asked for on a terminal.
    """
    from burnish.recipes import starters

    asks = at_terminal()
    if template is None and (docs is None) != (database is None):
        template = Starter.documents if database is None else Starter.database
    if template is None:
        if not asks:
            raise BurnishError("say --template documents or --template database")
        template = Starter(_choice("Is it to know documents, or to query a database?", list(Starter)))
    if asks and template is Starter.documents and docs is None:
        docs = _path("Folder of your documents (empty: an example)")
    if asks and template is Starter.database and database is None:
        database = _path("Your DuckDB or SQLite file (empty: an example)")
    if asks and model is None and starters.installed_model() is None:
        model = str(_path("Model: a Hugging Face folder or .gguf file") or "") or None
    started = starters.start(folder, template.value, starters.StarterAnswers(docs, database, model), force=force)
    for file in started.files:
        say(file)
    for line in started.told:
        say(line)
    recipe, rows = started.files[0], ", replace the example rows" if len(started.files) > 1 else ""
    say(f"Look at {recipe}{rows}, then: burnish run {shlex.quote(str(recipe))}")


def _choice(question: str, choices: list[Starter]) -> str:
    """One of the choices, asked for until it is one."""
    console = Console(stderr=True, highlight=False)
    while True:
        answer = console.input(f"{question} ({'/'.join(choices)}): ", markup=False).strip().lower()
        matching = [choice for choice in choices if answer and choice.startswith(answer)]
        if len(matching) == 1:
            return matching[0]


def _path(question: str) -> Path | None:
    """A path that a person types; None for an empty line."""
    answer = Console(stderr=True, highlight=False).input(f"{question}: ", markup=False).strip()
    try:
        return Path(answer).expanduser() if answer else None
    except RuntimeError:  # `~name` of nobody
        return Path(answer)
