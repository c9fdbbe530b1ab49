"""`burnish flywheel`: rounds of training from what people say of answers, and the model in force."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from burnish.cli.recipes import Overrides
from burnish.cli.saying import INTERRUPTED, agree, say
from burnish.errors import BurnishError

flywheel_commands = typer.Typer(
    help="Learn from what people say of a model's answers; keep what is shown to be better.", no_args_is_help=True
)

FlywheelFile = Annotated[Path, typer.Argument(metavar="FLYWHEEL.yaml", help="The flywheel's file.")]
Store = Annotated[Path, typer.Argument(metavar="FEEDBACK.db", help="The file of answers and judgements.")]


@flywheel_commands.command(epilog="Example: burnish flywheel run examples/flights/flywheel.yaml --set threads=1")
def run(
    file: FlywheelFile,
    overrides: Overrides = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Trust what the recipe executes, imports and sends; do not ask.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS", min=0.01, help="Look again every so many hours, until Ctrl-C.", show_default=False
        ),
    ] = None,
) -> None:
    """Train a round from the judgements since the last one, and promote its model if a paired test says it is better.

    A round needs as many new judgements as `minimum` says; an interrupted one goes on. --set changes a value of the
    round's recipe. Exit status 0 also where there
    are too few, or where the model in force stays.
    """
    import time

    from burnish.console.display import Display
    from burnish.serving.flywheel.rounds import Flywheel, Waiting
    from burnish.serving.flywheel.settings import read_settings

    flywheel = Flywheel(file, read_settings(file))
    try:
        while True:
            event = flywheel.run_round(
                display=Display(Console(highlight=False)),
                agree=lambda plan: agree(plan, yes=yes),
                overrides=overrides or (),
            )
            if isinstance(event, Waiting):
                say(f"{event.new:,} new judgements; a round needs {event.minimum:,}")
            else:
                for line in worded(event):
                    say(line)
            if every is None:
                return
            time.sleep(3600 * every)
    except KeyboardInterrupt as stop:
        what = getattr(stop, "what", "stopped; what is finished is kept")
        print(f"\n{what}. Run the same command again to go on.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


@flywheel_commands.command(epilog="Example: burnish flywheel history flywheel.yaml")
def history(
    file: FlywheelFile, as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Show the rounds, why each was promoted or not, the model in force, and what has been judged since."""
    from dataclasses import asdict

    from burnish.serving.flywheel.rounds import Flywheel
    from burnish.serving.flywheel.settings import read_settings

    flywheel = Flywheel(file, read_settings(file))
    found, counts = flywheel.history(), flywheel.counts()
    if as_json:
        events = [asdict(event) for event in found.events]
        print(json.dumps({"model": found.model, "events": events, "since": counts}, indent=2))
        return
    for event in found.events:
        for line in worded(event):
            say(line)
    said = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if kind != "answers")
    say(f"in force: {found.model}")
    say(f"since the last round: {said}; {counts['answers']:,} answers in all")


@flywheel_commands.command(epilog="Example: burnish flywheel rollback flywheel.yaml")
def rollback(file: FlywheelFile) -> None:
    """Put the model before the last promotion into force again; a server that follows the flywheel changes over."""
    from burnish.serving.flywheel.rounds import Flywheel
    from burnish.serving.flywheel.settings import read_settings

    event = Flywheel(file, read_settings(file)).history().roll_back()
    say(f"in force again: {event.model} (before round {event.round})")


@flywheel_commands.command(epilog="Example: burnish flywheel export feedback.db --output feedback")
def export(
    store: Store,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
    after: Annotated[int, typer.Option(min=0, help="Leave out judgements up to this number.")] = 0,
    heldout: Annotated[float, typer.Option(min=0.0, max=0.89, help="Share of the questions kept apart.")] = 0.0,
    as_they_are: Annotated[
        bool, typer.Option("--with-personal-data", help="Leave addresses, numbers and keys as they are.")
    ] = False,
) -> None:
    """Write judgements as data files: pairs for dpo, labelled answers for kto, conversations for sft."""
    from burnish.methods.feedback import Settings, write_rows
    from burnish.runs.run import Run

    kinds: dict[str, list[str]] = {"anonymize": []} if as_they_are else {}
    settings = Settings.model_validate({"after": after, "heldout": heldout, **kinds})
    output.mkdir(parents=True, exist_ok=True)
    for name, count in write_rows(Run(folder=output), store, [], settings).items():
        say(f"{name.replace('_', ' ')}: {count:,}")


@flywheel_commands.command(epilog="Example: burnish flywheel delete feedback.db --since 2026-01-31T14:00")
def delete(
    store: Store,
    user: Annotated[str | None, typer.Option(help="Delete this user's answers and judgements.")] = None,
    before: Annotated[
        str | None, typer.Option(metavar="DAY", help="Delete all answers given before a day, such as 2026-01-31.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Delete all answers given since, such as 2026-01-31T14:00, or a day (UTC)."),
    ] = None,
) -> None:
    """Delete answers with what was said of them. Rounds that have read them keep their models and their rows."""
    from burnish.datasets.feedback import Feedback

    if sum(one is not None for one in (user, before, since)) != 1:
        raise BurnishError("say one of --user NAME, --before DAY and --since TIME")
    before, since = _moment("--before", before), _moment("--since", since)
    with Feedback.open(store, create=False) as feedback:
        deleted = feedback.delete(user=user, before=before, since=since)
    say(f"deleted {deleted:,} answers with their judgements")


def _moment(option: str, value: str | None) -> str | None:
    """A day or a time as the file keeps it: UTC, where no zone is said."""
    from datetime import UTC, datetime

    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise BurnishError(
            f"{option} {value}: expected a day or a time, such as 2026-01-31 or 2026-01-31T14:00"
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def worded(event: object) -> list[str]:
    """An event of a flywheel's history in words, a line each."""
    from burnish.serving.flywheel.history import Event

    assert isinstance(event, Event)
    if event.kind == "rolled_back":
        return [f"{event.at} round {event.round} rolled back: {event.model}"]
    test = event.decision["test"]
    low, high = test["interval"]
    line = (
        f"{event.at} round {event.round} {event.kind}: {100 * test['current']:.1f} -> {100 * test['candidate']:.1f} % "
        f"of {test['tasks']:,} tasks ({100 * test['difference']:+.1f}, {100 * low:+.1f} to {100 * high:+.1f}; p = "
        f"{test['p']:.3f}; {test['gained']:,} gained, {test['lost']:,} lost)"
    )
    return [line, *(f"  {reason}" for reason in event.decision["against"]), f"  {event.decision['report']}"]
