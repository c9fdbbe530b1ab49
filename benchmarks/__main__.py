"""`python -m benchmarks`: measures rows, prints their table and writes each to `runs/bench/<row>.json`."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import (
    data,
    decode,
    decode_one,
    distill,
    dpo,
    grpo,
    harness,
    ppo,
    prefix,
    prm,
    reward_model,
    serve,
    sft,
    speculative,
    tokenize_corpus,
)
from benchmarks.row import BenchmarkError
from benchmarks.table import ratio_table

ROWS = {
    row.name: row
    for module in (
        decode,
        decode_one,
        prefix,
        serve,
        speculative,
        sft,
        dpo,
        reward_model,
        prm,
        ppo,
        grpo,
        distill,
        data,
        tokenize_corpus,
    )
    for row in module.ROWS
}
_FILE_WIDTH = 140
"""Columns of the table where the output is not a terminal, which would say how many it has."""


def main(
    rows: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(ROWS)}; may be repeated.")] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="Runs of each side, in turn; the median counts.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 2,
    output: Annotated[Path, typer.Option(help="Folder that gets a JSON file a row.")] = Path("runs/bench"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Little work and one repetition, to see that it runs; into OUTPUT/quick.")
    ] = False,
    keep_search: Annotated[
        bool,
        typer.Option(
            "--keep-search",
            help="Do not search for a peer's fastest configuration again where OUTPUT has a search of the same row, "
            "machine and versions.",
        ),
    ] = False,
) -> None:
    """Measure Burnish beside its peers. Leave the machine alone meanwhile."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the worker, removes the folder
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
    if unknown := [name for name in rows or () if name not in ROWS]:
        raise typer.BadParameter(f"no row {unknown[0]}; expected one of: {', '.join(ROWS)}", param_hint="--rows")
    folder = output / "quick" if quick else output
    records, failed = [], []
    for name in rows or ROWS:
        try:
            record = harness.measure(
                ROWS[name],
                repetitions=1 if quick else repetitions,
                threads=threads,
                quick=quick,
                say=lambda text: console.print(text, style="dim", markup=False, soft_wrap=True),
                earlier=harness.read(folder, ROWS[name]) if keep_search else None,
            )
        except BenchmarkError as error:
            failed.append(name)
            console.print(f"{name}: {error}", style="red", markup=False, soft_wrap=True)
            continue
        harness.write(folder, record)
        records.append(record)
    if records:
        console.print(ratio_table(records))
    if noisy := [record["row"] for record in records if record["noisy"]]:
        console.print(f"noisy, other processes were busy meanwhile: {', '.join(noisy)}", style="yellow")
    if failed:
        console.print(f"not measured: {', '.join(failed)}", style="red")
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
