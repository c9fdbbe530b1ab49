"""`python -m benchmarks.profile`: where the time of our steps goes, as a table and in `runs/bench/profile.json`.

The products' ideal time is their operations at the rate of a large product, measured in the same run.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import distill, dpo, grpo, ppo, prm, reward_model, sft
from benchmarks.process import call
from benchmarks.row import BenchmarkError, Config, Row

_MODULES = (dpo, reward_model, prm, ppo, grpo, distill, sft)
ROWS = {row.name: row for module in _MODULES for row in module.ROWS}
_DEFAULT = ("dpo_demo", "dpo_long_prompt", "reward_model", "ppo", "grpo", "grpo_long_prompt")


def profiled(row: Row, *, threads: int, quick: bool) -> Config:
    """The record of one step of our side, after the steps that warm up."""
    with tempfile.TemporaryDirectory(prefix="burnish-profile-") as folder:
        file = Path(folder) / "profile.json"
        sizes = {**row.parameters, **(row.quick if quick else {}), "timed_steps": 1}
        config: Config = {"folder": folder, "threads": threads, "unit": row.unit, **sizes}
        config |= call(row.module, "prepare", config)
        call(row.module, "ours", config | {"profile": str(file)})
        record: Config = json.loads(file.read_text(encoding="utf-8"))
        return record


def table(name: str, record: Config) -> Table:
    """A line a kind: seconds, their share of the step, and how fast its products ran against the machine's best."""
    shown = Table(box=box.SIMPLE_HEAD, title=f"{name}: {record['seconds']:.2f} s a step, {record['dtype']}")
    for column in ("part", "seconds", "share", "ideal seconds", "of peak"):
        shown.add_column(column, justify="left" if column == "part" else "right")
    total = {"seconds": record["seconds"], "ideal_seconds": record["ideal_seconds"]}
    for kind, one in {**record["kinds"], "all": total}.items():
        ideal = one["ideal_seconds"]
        shown.add_row(
            kind,
            f"{one['seconds']:.2f}",
            f"{one['seconds'] / record['seconds']:.0%}",
            f"{ideal:.2f}" if ideal else "",
            f"{ideal / one['seconds']:.0%}" if ideal and one["seconds"] else "",
        )
    return shown


def main(
    rows: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(ROWS)}; may be repeated.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    output: Annotated[Path, typer.Option(help="File that gets the figures.")] = Path("runs/bench/profile.json"),
    quick: Annotated[bool, typer.Option("--quick", help="Little work, to see that it runs.")] = False,
) -> None:
    """Profile a step of each row on alignment. Leave the machine alone meanwhile."""
    from burnish.files import atomic_write_text

    if unknown := [name for name in rows or () if name not in ROWS]:
        raise typer.BadParameter(f"no row {unknown[0]}; expected one of: {', '.join(ROWS)}", param_hint="--rows")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    found: Config = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    for name in rows or _DEFAULT:
        try:
            found[name] = profiled(ROWS[name], threads=threads, quick=quick)
        except BenchmarkError as error:
            sys.exit(f"{name}: {error}")
        console.print(table(name, found[name]))
        atomic_write_text(output, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
