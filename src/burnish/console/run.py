"""`burnish.run`: a recipe run to its end, with its progress on the terminal."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from burnish.console.display import Display
from burnish.recipes.runner import running
from burnish.runs.progress import Reporter


def run(
    recipe: Path | str | Mapping[str, Any],
    *,
    overrides: Iterable[str] = (),
    runs: Path | str = "runs",
    start: str | None = None,
    display: Reporter | None = None,
    trust: bool = True,
    dry_run: bool = False,
) -> dict[str, Any]:
    """As `burnish.recipes.runner.running.run`, shown on the terminal where no `display` is given."""
    return running.run(
        recipe,
        overrides=overrides,
        runs=runs,
        start=start,
        display=display or Display(),
        trust=trust,
        dry_run=dry_run,
    )
