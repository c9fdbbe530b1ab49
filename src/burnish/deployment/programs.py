"""The programs that an exported model can be served by, and the kinds of file that each reads."""

from collections.abc import Sequence
from typing import Literal

Program = Literal["ollama", "llama.cpp", "vllm", "docker", "systemd"]

READS_GGUF: tuple[Program, ...] = ("ollama", "llama.cpp")
"""The programs that read a GGUF file; the others read the model's folder."""
DEFAULT_GGUF = "Q8_0"
"""What is written for them where no GGUF file is asked for."""


def gguf_formats(programs: Sequence[str], gguf: Sequence[str]) -> list[str]:
    """The GGUF files to export: those asked for, or the one that these programs need."""
    return list(gguf) or ([DEFAULT_GGUF] if any(program in READS_GGUF for program in programs) else [])


def needs_folder(programs: Sequence[str]) -> bool:
    """Whether any of these programs reads the model's folder."""
    return any(program not in READS_GGUF for program in programs)
