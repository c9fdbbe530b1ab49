"""`burnish data synthesize`: documents or a file of settings in, rows to learn from and questions to measure by out."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from burnish.console.display import Display
from burnish.console.preparation import SETTINGS_SUFFIXES
from burnish.corpus.folders import Skipped, describe
from burnish.errors import BurnishError
from burnish.recipes.language.validation import validate
from burnish.recipes.language.yaml_source import read_recipe
from burnish.runs.run import Run
from burnish.synthesis.settings import Settings

if TYPE_CHECKING:
    from burnish.synthesis.synthesize import Synthesis


class Synthesized(Settings):
    """A file of settings: the documents, and what is made of them."""

    documents: list[str] = Field(min_length=1, description="files, folders or patterns, relative to the file")
    text_key: str = Field("text", description="key of the text in rows of data files")


def synthesize(named: list[Path], output: Path) -> "Synthesis":
    """Make rows of what `named` says, and write them into `output`."""
    from burnish.synthesis import documents
    from burnish.synthesis import synthesize as synthesis

    settings, paths = _settings(named)
    display = Display()
    skipped: list[Skipped] = []
    made = synthesis.synthesize(
        documents.read(paths, skipped, text_key=settings.text_key), settings, Run(output, display=display)
    )
    if skipped:
        display.say("not read: " + describe(skipped).replace("\n", "\nnot read: "))
    display.say(
        f"{output / synthesis.TRAIN_FILE} is for sft; {output / synthesis.QUESTIONS_FILE} and "
        f"{output / synthesis.CHOICES_FILE} are for burnish eval; {output / synthesis.RECORD_FILE} has all counts"
    )
    return made


def _settings(named: list[Path]) -> tuple[Synthesized, list[Path]]:
    """The settings in a YAML file, or the default ones; and where the documents are."""
    files = [path for path in named if path.suffix in SETTINGS_SUFFIXES]
    if not files:
        return Synthesized.model_validate({"documents": [str(path) for path in named]}), named
    if len(named) > 1:
        raise BurnishError(f"{files[0]} says what is read: name it alone, or documents")
    settings = validate(Synthesized, read_recipe(files[0]))
    return settings, [files[0].parent / path for path in settings.documents]
