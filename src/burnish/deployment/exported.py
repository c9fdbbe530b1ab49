"""An exported model, as the files that describe it to other programs need it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.deployment.programs import DEFAULT_GGUF, Program
from burnish.errors import BurnishError
from burnish.text.tokenizer import Tokenizer

LONGEST_CONTEXT = 8192
"""Tokens of context that programs are told to hold at most, since each keeps memory for all of them from the start."""
PORT = 8000


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An exported model as its programs see it.

    folder: where the files go. model: the Hugging Face folder in it, gguf: a GGUF file in it; None where there is none.
    context_length: in tokens. system: the prompt that stands before conversations that have none. stop: further strings
    that end an answer.
    """

    name: str
    folder: Path
    tokenizer: Tokenizer
    context_length: int
    model: Path | None = None
    gguf: Path | None = None
    system: str | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()

    @property
    def context(self) -> int:
        """Tokens that a program is told to hold."""
        return min(self.context_length, LONGEST_CONTEXT)

    def gguf_for(self, program: Program) -> Path:
        """The GGUF file. Raises BurnishError where none was exported."""
        if self.gguf is None:
            raise BurnishError(f"{program} reads a GGUF file, and none was exported; add --gguf {DEFAULT_GGUF}")
        return self.gguf

    def folder_for(self, program: Program) -> Path:
        """The Hugging Face folder. Raises BurnishError where none was exported."""
        if self.model is None:
            raise BurnishError(f"{program} reads the model's folder, and none was exported; add --folder")
        return self.model


def exported_model(
    name: str,
    folder: Path,
    written: Sequence[Path],
    tokenizer: Tokenizer,
    *,
    context_length: int,
    system: str | None = None,
    temperature: float | None = None,
    stop: Sequence[str] = (),
) -> Exported:
    """The model that an export has `written` into `folder`: the first GGUF file, and the Hugging Face folder."""
    return Exported(
        name=name,
        folder=folder,
        tokenizer=tokenizer,
        context_length=context_length,
        model=next((path for path in written if path.is_dir()), None),
        gguf=next((path for path in written if path.suffix == ".gguf"), None),
        system=system,
        temperature=temperature,
        stop=tuple(stop),
    )
