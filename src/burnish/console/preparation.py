"""`burnish data prepare`: documents through the steps of preparation, and a table of what each did."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from burnish.console.display import Display
from burnish.corpus.amounts import CHARACTERS_PER_TOKEN, few_tokens
from burnish.errors import BurnishError
from burnish.recipes.language.validation import validate
from burnish.recipes.language.yaml_source import read_recipe
from burnish.recipes.plan.outside import NotFoundError, found_outside
from burnish.report.data_page import write_data_page

if TYPE_CHECKING:
    from burnish.corpus.preparation.settings import Preparation
    from burnish.corpus.preparation.statistics import PreparationRecord, StepRecord, TokenCounter

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


def prepare(
    named: list[Path], output: Path, *, processes: int, on_ray: bool = False, tokenizer: str | None = None
) -> "PreparationRecord":
    """Prepare what `named` says into `output`, with progress, a table and a page.

    tokenizer: the model whose tokens are counted, as a recipe names it.
    """
    from burnish.corpus.preparation.engines import InProcess, OnRay, Processes, TaskRunner
    from burnish.corpus.preparation.pipeline import prepare as prepare_documents
    from burnish.corpus.preparation.publishing import DOCUMENTS_FOLDER, RECORD_FILE

    settings, folder = read_settings(named)
    display = Display()
    engine: TaskRunner = InProcess() if processes == 1 else Processes(processes)
    if on_ray:
        engine = OnRay(processes if processes > 1 else None)

    def say(title: str, done: int, total: int) -> None:
        display.say(f"  {title}: {done:,} of {total:,} shards", style="dim")

    record = prepare_documents(
        settings.sources,
        settings.steps,
        output,
        folder=folder,
        engine=engine,
        tokens=_tokens(tokenizer),
        on_progress=say,
    )
    page = write_data_page(output, output.resolve().name)
    display.show(table(record))
    for line in skipped_lines(record):
        display.say(line)
    if (expect := few_tokens(record.steps[-1].characters_out / CHARACTERS_PER_TOKEN)) is not None:
        display.say(expect, style="yellow")
    if record.read.encodings:
        told = ", ".join(f"{count:,} as {name}" for name, count in record.read.encodings.items())
        display.say(f"text that is not UTF-8 was read by what its bytes look like: {told}")
    display.say(f"{record.documents:,} documents in {output / DOCUMENTS_FOLDER}")
    display.say(f"{page} shows what each step did; {output / RECORD_FILE} has the same for programs")
    return record


def _tokens(written: str | None) -> "TokenCounter | None":
    from burnish.corpus.preparation.statistics import TokenCounter

    if written is None:
        return None
    try:
        (model,) = found_outside(written, "model", Path())
    except NotFoundError as error:
        raise BurnishError(f"--tokenizer: {error}") from None
    return TokenCounter.of(model)


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
