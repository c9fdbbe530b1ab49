"""The files by which other programs serve an exported model, beside it in its folder.

Notable choices:
- a file names the model relative to itself, so that the folder can be moved and copied as a whole;
- nothing listens beyond this machine unless who deploys says so.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.deployment.exported import Exported
from burnish.deployment.ollama import modelfile
from burnish.deployment.scripts import llama_server, vllm_serve
from burnish.deployment.services import dockerfile, systemd_unit
from burnish.files import atomic_write_text

_WRITERS: dict[str, Callable[[Exported, Callable[[str], None]], tuple[str, str]]] = {
    "ollama": modelfile,
    "llama.cpp": llama_server,
    "vllm": vllm_serve,
    "docker": dockerfile,
    "systemd": systemd_unit,
}


def write_deployment(exported: Exported, programs: Sequence[str], say: Callable[[str], None]) -> list[Path]:
    """Write what each of the programs needs; returns the files.

    say: told what a file lacks. Raises BurnishError where a program's kind of model was not exported.
    """
    written = []
    for program in dict.fromkeys(programs):
        name, text = _WRITERS[program](exported, say)
        path = exported.folder / name
        atomic_write_text(path, text)
        if text.startswith("#!"):
            path.chmod(path.stat().st_mode | 0o111)
        written.append(path)
    return written
