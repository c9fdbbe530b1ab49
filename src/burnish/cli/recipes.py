"""`burnish run`, `plan` and `clean`: recipes and the runs they make."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from burnish.cli.saying import INTERRUPTED, agree, aside, made, say

commands = typer.Typer()

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.KEY=VALUE", help="Change a value of the recipe; may be repeated."),
]
RunsFolder = Annotated[Path, typer.Option(help="Folder of all runs.")]


@commands.command(epilog="Example: burnish run recipe.yaml --set sft.training.learning_rate=1e-4")
def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    runs: RunsFolder = Path("runs"),
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Run this stage and all after it again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe and show what would be done.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Trust what the recipe executes, imports and sends; do not ask.")
    ] = False,
) -> None:
    """Run a recipe: stages that are done are not run again, an interrupted one goes on.

    A new or changed recipe that executes scripts, imports functions or sends to other machines is asked about once.
    """
    from burnish.recipes.plan.planned import make_plan

    console = Console(highlight=False)
    plan = make_plan(recipe, overrides=overrides or (), runs=runs, notice=aside)  # before PyTorch, slow to import
    if dry_run:
        from burnish.recipes.plan.dry_run import describe

        _show_dry_run(describe(plan, start))
        return
    from burnish.console.display import Display
    from burnish.console.tables import result_table, stage_table
    from burnish.recipes.runner.running import execute
    from burnish.runs.names import REPORT_FILE, SUMMARY_FILE

    try:
        agree(plan, yes=yes)
        summary = execute(plan, start=start, display=Display(console))
    except KeyboardInterrupt as stop:
        what = getattr(stop, "what", "stopped; what is finished is kept")
        again = f"Run the same command again to go on{', without --from' if start else ''}."
        with suppress(OSError):  # the terminal may be what has gone
            print(f"\n{what}. {again}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    console.print(stage_table(summary))
    results = result_table(summary)
    if results is not None:
        console.print(results)
    folder = runs / summary["name"]
    made(folder / name for name in (SUMMARY_FILE, REPORT_FILE))


@commands.command(epilog="Example: burnish plan recipe.yaml --gpu H100")
def plan(
    recipe: RecipeFile,
    overrides: Overrides = None,
    runs: RunsFolder = Path("runs"),
    start: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="As if this stage and all after it ran again.")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Plan for this GPU by its published figures, such as H100 or RTX4090."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Check a recipe as --dry-run does, and say what each stage will take: steps, tokens, time, memory and disk.

    Times come from a few seconds of the same work on this machine; of answers the longest are assumed.
    """
    from burnish.recipes.plan.planned import make_plan

    planned = make_plan(recipe, overrides=overrides or (), runs=runs, notice=aside)  # before PyTorch, slow to import
    from burnish.console.tables import estimate_table
    from burnish.recipes.plan.dry_run import estimated

    found = estimated(planned, start, gpu)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    Console(highlight=False).print(estimate_table(found))
    for line in [*found["asks"], *(f"note: {note}" for note in found["notes"])]:
        say(line)
    for line in found["unchecked"]:
        say(f"not checked yet: {line}")


def _show_dry_run(found: dict[str, Any]) -> None:
    """Print what a run would do, a line each."""
    for stage in found["stages"]:
        verb = {"cached": "cached", "resume": "go on", "run": "run"}[stage["state"]]
        say(f"{found['folder']}/{stage['folder']}: {verb} ({stage['reason']})")
    for line in found["asks"]:
        say(line)
    for note in found["notes"]:
        say(f"note: {note}")
    for line in found["unchecked"]:
        say(f"not checked yet: {line}")


@commands.command(epilog="Example: burnish clean runs/flights --dry-run")
def clean(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
) -> None:
    """Remove what a run can make again: caches, rollouts, models that only a later training began from.

    The final model, adapters, exports, records, answers and the report stay.
    """
    from burnish.recipes.runner.clean import clean as remove

    removed = remove(run, dry_run=dry_run)
    for one in removed:
        if one.touched is not None:
            say(f"{one.path}: stays, since {one.touched.name} is not as its stage made it")
        else:
            say(f"{one.path}: {one.n_bytes:,} bytes")
    total = sum(one.n_bytes for one in removed if one.touched is None)
    say(f"{'would remove' if dry_run else 'removed'} {total:,} bytes")
