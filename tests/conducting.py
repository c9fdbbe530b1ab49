"""An experiment of the lab, run without a word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.lab.experiment import Experiment, conduct
from burnish.runs.progress import Silent


def conducted(
    experiment: Callable[..., Experiment],
    folder: Path,
    *,
    threads: int | None = None,
    again: bool = False,
    **options: Any,
) -> list[Path]:
    """The files that the experiment wrote into `folder`."""
    return conduct(experiment(**options), folder, threads=threads, again=again, display=Silent())
