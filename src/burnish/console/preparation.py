"""`burnish data prepare`: documents through the steps of preparation, and a table of what each did."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.recipes.language.validation import validate
from burnish.recipes.language.yaml_source import read_recipe

if TYPE_CHECKING:
    from burnish.corpus.preparation.pipeline import PreparationRecord, StepRecord
    from burnish.corpus.preparation.settings import Preparation

SETTINGS_SUFFIXES = (".yaml", ".yml")


def read_settings(named: list[Path]) -> "tuple[Preparation, Path]":
    """The settings in a YAML file, or the default ones for the documents named; and what paths are relative to."""
    from burnish.corpus.preparation.settings import Preparation

    files = [path for path in named if path.suffix in SETTINGS_SUFFIXES]
    if not files:
        return Preparation.model_validate({"sources": [{"paths": [str(path) for path in named]}]}), Path()
    if len(named) > 1:
        raise BurnishError(f"{files[0]} says what is prepared: name it alone, or documents")
    return validate(Preparation, read_recipe(files[0])), files[0].parent


def prepare(named: list[Path], output: Path, *, processes: int) -> "PreparationRecord":
    """Prepare what `named` says into `output`, with progress and a table."""
    from burnish.corpus.preparation.engines import Engine, InProcess, Processes
    from burnish.corpus.preparation.pipeline import DOCUMENTS_FOLDER, RECORD_FILE
    from burnish.corpus.preparation.pipeline import prepare as prepare_documents

    settings, folder = read_settings(named)
    display = Display()
    engine: Engine = InProcess() if processes == 1 else Processes(processes)

    def say(title: str, done: int, total: int) -> None:
        display.say(f"  {title}: {done:,} of {total:,} shards", style="dim")

    record = prepare_documents(settings.sources, settings.steps, output, folder=folder, engine=engine, on_progress=say)
    display.show(table(record))
    for line in skipped_lines(record):
        display.say(line)
    display.say(
        f"{record.documents:,} documents in {output / DOCUMENTS_FOLDER}; {output / RECORD_FILE} has what each step did"
    )
    return record


def table(record: "PreparationRecord") -> Table:
    """One row a step."""
    shown = Table("step", title="what each step did")
    for name in ("documents", "characters", "changed", "removed", "seconds"):
        shown.add_column(name, justify="right")
    for step in record.steps:
        shown.add_row(
            step.step,
            f"{step.documents_out:,}",
            f"{step.characters_out:,}",
            _changed(step),
            _removed(step),
            f"{step.seconds:.1f}" if step.seconds else "",
        )
    return shown


def skipped_lines(record: "PreparationRecord") -> list[str]:
    """How many files were not read for each reason, with the first of them."""
    by_reason: dict[str, list[str]] = {}
    for one in record.skipped:
        by_reason.setdefault(one["reason"], []).append(one["file"])
    return [
        f"not read: {len(files):,} {reason}: {', '.join(files[:3])}{', …' if len(files) > 3 else ''}"
        for reason, files in by_reason.items()
    ]


def _changed(step: "StepRecord") -> str:
    found = ", ".join(f"{count:,} {kind}" for kind, count in step.counts.items())
    changed = f"{step.n_changed:,}" if step.n_changed else ""
    return f"{changed} ({found})".strip() if found else changed


def _removed(step: "StepRecord") -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in step.reasons.items())
