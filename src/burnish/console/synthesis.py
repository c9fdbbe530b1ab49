"""`burnish data synthesize`: documents or a file of settings in, rows to learn from and questions to measure by out."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from burnish.console.display import Display
from burnish.console.preparation import SETTINGS_SUFFIXES
from burnish.corpus.folders import Skipped, describe
from burnish.errors import BurnishError
from burnish.recipes.language.validation import validate
from burnish.recipes.language.yaml_source import read_recipe
from burnish.recipes.plan.outside import NotFoundError, found_outside
from burnish.runs.hashes import FileHashes
from burnish.runs.names import HASHES_FILE
from burnish.runs.run import Run
from burnish.synthesis.settings import Settings
from burnish.synthesis.teachers import ModelTeacher

if TYPE_CHECKING:
    from burnish.synthesis.synthesize import Synthesis
    from burnish.synthesis.teachers import TextTeacher


class Synthesized(Settings):
    """A file of settings: the documents, and what is made of them."""

    documents: list[str] = Field(min_length=1, description="files, folders or patterns, relative to the file")
    text_key: str = Field("text", description="key of the text in rows of data files")


def synthesize(named: list[Path], output: Path) -> "Synthesis":
    """Make rows of what `named` says, and write them into `output`."""
    from burnish.synthesis import documents
    from burnish.synthesis import synthesize as synthesis

    settings, paths, folder = _settings(named)
    display = Display()
    skipped: list[Skipped] = []
    run = Run(output, display=display)
    helped_by = settings.filters.helped_by
    made = synthesis.synthesize(
        documents.read(paths, skipped, text_key=settings.text_key),
        settings,
        run,
        teacher=_teacher(settings, folder, run),
        load_helped=None if helped_by is None else partial(_load, helped_by, folder),
    )
    if skipped:
        display.say("not read: " + describe(skipped).replace("\n", "\nnot read: "))
    display.say(
        f"{output / synthesis.TRAIN_FILE} is for sft; {output / synthesis.QUESTIONS_FILE} and "
        f"{output / synthesis.CHOICES_FILE} are for burnish eval; {output / synthesis.RECORD_FILE} has all counts"
    )
    return made


def _settings(named: list[Path]) -> tuple[Synthesized, list[Path], Path]:
    """The settings in a YAML file, or the default ones; where the documents are, and what paths are relative to."""
    files = [path for path in named if path.suffix in SETTINGS_SUFFIXES]
    if not files:
        return Synthesized.model_validate({"documents": [str(path) for path in named]}), named, Path()
    if len(named) > 1:
        raise BurnishError(f"{files[0]} says what is read: name it alone, or documents")
    settings = validate(Synthesized, read_recipe(files[0]))
    return settings, [files[0].parent / path for path in settings.documents], files[0].parent


def _teacher(settings: Synthesized, folder: Path, run: Run) -> "TextTeacher | None":
    teacher = settings.teacher
    if isinstance(teacher, ModelTeacher):
        path = _model(teacher.model, folder)
        return teacher.open(partial(_load, teacher.model, folder), FileHashes(run.folder / HASHES_FILE).of(path))
    if teacher is not None:
        run.display.say(f"passages of the documents are sent to {teacher.address}")
        return teacher.open(run, os.environ)
    return None


def _model(written: str, folder: Path) -> Path:
    try:
        return found_outside(written, "model", folder)[0]
    except NotFoundError as error:
        raise BurnishError(str(error)) from error


def _load(written: str, folder: Path) -> Any:
    import burnish

    return burnish.load(_model(written, folder))
