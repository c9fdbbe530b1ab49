"""What every experiment of the lab is, and how one is conducted: checked, measured, kept, shown and written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from burnish.hardware import keep_freed_memory, set_threads
from burnish.lab.notebook import Notebook, open_notebook
from burnish.lab.report import Panel, Table, require_plots, write
from burnish.runs.progress import Reporter


@dataclass(frozen=True)
class Findings:
    """What an experiment has found. facts: what it decided on the way, such as how long to train, as JSON values."""

    tables: Sequence[Table]
    panels: Sequence[Panel]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Experiment(Protocol):
    """One question of the lab.

    name: of its files, and of its command after `burnish lab`. seed: where all its randomness starts.
    """

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...

    def settings(self) -> Mapping[str, Any]:
        """What the results depend on besides the seed, as JSON values; `command` is the command line.

        Raises BurnishError where something is missing: before anything is measured.
        """

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        """Measure everything. What is done in pieces of the notebook is not done again after Ctrl-C."""


def conduct(
    experiment: Experiment, folder: Path, *, threads: int | None = None, again: bool = False, display: Reporter
) -> list[Path]:
    """Measure; write `<name>.md`, `.json` and, where something is drawn, `.svg` into `folder`, and return them.

    Finished pieces stay in `folder/<name>`: after Ctrl-C the same call goes on; `again` begins anew. Raises
    BurnishError where something is missing, or another experiment runs in `folder`.
    """
    require_plots()
    set_threads(threads)
    keep_freed_memory()
    settings = experiment.settings()
    with open_notebook(folder, experiment.name, settings, seed=experiment.seed, again=again) as notebook:
        found = experiment.measure(notebook, display)
    return write(
        folder,
        experiment.name,
        found.tables,
        found.panels,
        display,
        seed=experiment.seed,
        settings={**settings, **found.facts},
    )
