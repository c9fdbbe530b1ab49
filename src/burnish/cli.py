"""The command line: parse, call, print.

torch and everything that needs it is imported inside the commands, so that `burnish --help` answers at once.
"""

import sys
import traceback
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from burnish import __version__
from burnish.errors import BurnishError

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended

app = typer.Typer(
    name="burnish",
    help="From open language-model weights and your own documents to an aligned, domain-specific model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Look at data files.", no_args_is_help=True)
app.add_typer(data_app, name="data")


class Quantization(StrEnum):
    """Number formats of a GGUF file."""

    F32 = "F32"
    F16 = "F16"
    Q8_0 = "Q8_0"


class StoredDtype(StrEnum):
    """Number formats of a Hugging Face folder."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def main() -> None:
    """Run the command line; an error that the user can mend is one message and exit status 1."""
    try:
        app()
    except BurnishError as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        print(
            f"\nThis is a bug in Burnish {__version__}. Please report it on the project's issue page, with the lines "
            "above and the output of `burnish doctor`.",
            file=sys.stderr,
        )
        sys.exit(1)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(f"burnish {__version__}")
        raise typer.Exit


@app.command(epilog="Example: burnish run recipe.yaml --set sft.training.learning_rate=1e-4")
def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STAGE.KEY=VALUE", help="Change a value of the recipe; may be repeated."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Run this stage and all after it again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe and show what would be done.")] = False,
) -> None:
    """Run a recipe: stages that are done are not run again, an interrupted one goes on."""
    from burnish.recipes.plan import make_plan

    console = Console(highlight=False)
    if dry_run:
        from burnish.recipes.runner import preview

        for stage, status in preview(make_plan(recipe, overrides=overrides or (), runs=runs), start):
            verb = {"cached": "cached", "resume": "go on", "run": "run"}[status.state]
            console.print(f"{stage.folder}: {verb} ({status.reason})", markup=False, soft_wrap=True)
        return
    from burnish.evaluation.report import REPORT
    from burnish.recipes.display import Display
    from burnish.recipes.runner import SUMMARY_FILE, run
    from burnish.recipes.tables import result_table, stage_table

    try:
        summary = run(recipe, overrides=overrides or (), runs=runs, start=start, display=Display(console))
    except KeyboardInterrupt:
        message = "stopped; nothing that was done is lost. Run the same command again to go on"
        print(f"\n{message}{', without --from' if start else ''}.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    console.print(stage_table(summary))
    results = result_table(summary)
    if results is not None:
        console.print(results)
    folder = runs / summary["name"]
    for name in (SUMMARY_FILE, REPORT):
        console.print(str(folder / name), markup=False, soft_wrap=True)


@app.command(epilog="Example: burnish chat runs/flights --ask 'How many flights left JFK in May?'")
def chat(
    target: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, a model folder or a .gguf file.")
    ],
    ask: Annotated[list[str] | None, typer.Option(help="Answer this question and stop; may be repeated.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt, instead of the recipe's.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always takes the most probable token.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Where sampling starts, with a temperature above 0.")] = 0,
) -> None:
    """Ask a model. With a run's folder its recipe decides how: for SQL the query and its result are shown.

    Questions come from --ask, from a pipe (one a line), or from the keyboard.
    """
    from burnish.recipes.chat import find_target, hold_chat

    console = Console(highlight=False)
    try:
        hold_chat(
            find_target(target),
            ask if ask else _questions(console),
            console,
            system=system,
            temperature=temperature,
            seed=seed,
        )
    except KeyboardInterrupt:
        console.print()
        raise typer.Exit(INTERRUPTED) from None


def _questions(console: Console) -> Iterator[str]:
    """Lines of standard input, with a prompt where that is a keyboard."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    console.print("Ask a question; Ctrl-D ends.", style="dim")
    while True:
        try:
            question = console.input("[bold cyan]> [/]").strip()
        except EOFError:
            console.print()
            return
        if question:
            yield question


@app.command(epilog="Example: burnish export runs/flights --gguf Q8_0 -o exported")
def export(
    model: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, model or adapter, or a .gguf.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.", show_default=False)],
    gguf: Annotated[list[Quantization] | None, typer.Option(help="Write a GGUF file; may be repeated.")] = None,
    folder: Annotated[
        bool, typer.Option("--folder", help="Write a Hugging Face folder, also beside GGUF files.")
    ] = False,
    dtype: Annotated[StoredDtype, typer.Option(help="Numbers of the Hugging Face folder.")] = StoredDtype.float32,
) -> None:
    """Write a model in other formats: a Hugging Face folder (the default), GGUF files for llama.cpp, or both."""
    import burnish
    from burnish.recipes.chat import find_target
    from burnish.recipes.stages.export import write_formats

    written = write_formats(
        *burnish.load(find_target(model).model),
        output,
        name=model.resolve().stem,
        gguf=[quantization.value for quantization in gguf or ()],
        dtype=dtype.value,
        folder=folder or not gguf,
    )
    for path in written:
        print(path)


@data_app.command("check", epilog="Example: burnish data check train.jsonl pairs.parquet")
def data_check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSONL, JSON or Parquet files.")],
) -> None:
    """Validate data files: the format is recognised, and every bad row named with its line and the reason."""
    from burnish.recipes.data_check import describe

    failures = []
    for file in files:
        try:
            print(f"{file}: {describe(file)}")
        except BurnishError as error:
            failures.append(str(error))
    if failures:
        raise BurnishError("\n".join(failures))


@app.command(epilog="Example: burnish doctor")
def doctor() -> None:
    """Show what this machine has, which number format is used and why, and which extras are missing for what."""
    from burnish.recipes.doctor import findings

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, finding in findings():
        table.add_row(name, Text(finding))
    Console(highlight=False).print(table)
