"""Run a recipe, and say of each stage what `burnish plan` expected and what it took.

    python scripts/plan_against_run.py RECIPE [--runs FOLDER]

A finished run is not run again. What is planned of a stage is planned as if all stages before it were done, so that its
data is there. The machine should have nothing else to do, as always where time is measured.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from burnish.recipes.plan.dry_run import estimated
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from burnish.runs.folder import read_object
from burnish.runs.names import STAGE_FILE
from burnish.training.events import read_events

COLUMNS = ("stage", "steps", "tokens trained", "seconds", "GiB")


def compared(recipe: Path, runs: Path) -> list[tuple[str, ...]]:
    """A row for each stage whose work can be counted: planned and measured values as `PLANNED / MEASURED`."""
    run(recipe, runs=runs)
    plan = make_plan(recipe, runs=runs)
    rows = []
    for stage in plan.stages:
        planned = next(one for one in estimated(plan, stage.name)["stages"] if one["name"] == stage.name)
        if planned.get("work") is None:
            continue
        record: dict[str, Any] = read_object(stage.folder / STAGE_FILE) or {}
        events = read_events(stage.folder)
        rows.append(
            (
                stage.name,
                f"{planned['work']['steps']:,} / {len(events):,}",
                f"{planned['work']['trained']:,} / {sum(round(event['tokens']) for event in events):,}",
                f"{planned['seconds']:,.1f} / {record['wall_seconds']:,.1f}",
                f"{planned['memory_gib']:.2f} / {record['peak_rss_gib']:.2f}",
            )
        )
    return rows


def main() -> None:
    """Print the rows as a table of Markdown."""
    parser = argparse.ArgumentParser(description="What `burnish plan` expected of each stage, and what it took.")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    rows = compared(arguments.recipe, arguments.runs)
    for row in (COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")


if __name__ == "__main__":
    main()
