"""`python -m benchmarks.data_memory`: time and memory of preparation, from 10 MB of documents to 1 GB, or 10 GB.

Documents of real text are made (`benchmarks.documents`) and taken through normalizing, Gopher's rules of quality,
exact and near deduplication, each size in a fresh process, which tells the most memory it ever held. Writes
`runs/bench/data_memory.json` and a plot. 10 GB (`--largest 10000`) takes hours and 30 GB of disk.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import documents
from benchmarks.process import ROOT
from benchmarks.worker import peak_rss_bytes

SIZES = (10, 30, 100, 300, 1000, 3000, 10_000)
"""Megabytes of JSON lines."""
STEPS: tuple[dict[str, Any], ...] = (
    {"type": "normalize"},
    {"type": "gopher_quality"},
    {"type": "exact_duplicates"},
    {"type": "minhash", "threshold": 0.9},
)


def run_one(folder: Path, output: Path) -> dict[str, Any]:
    """Prepare the documents of a folder in this process."""
    from burnish.corpus.preparation.pipeline import prepare
    from burnish.corpus.preparation.settings import Preparation

    settings = Preparation.model_validate({"sources": [{"paths": [str(folder)]}], "steps": list(STEPS)})
    begun = time.perf_counter()
    record = prepare(settings.sources, settings.steps, output)
    return {
        "seconds": time.perf_counter() - begun,
        "peak_rss_bytes": peak_rss_bytes(),
        "documents": record.steps[0].documents_in,
        "kept": record.documents,
        "steps": {one.step: {"seconds": one.seconds, "out": one.documents_out} for one in record.steps},
    }


def plot(points: Sequence[dict[str, Any]], path: Path) -> None:
    """Memory and time over the size of the input."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6))
    sizes = [point["bytes"] / 1e6 for point in points]
    left.plot(sizes, [point["peak_rss_bytes"] / 2**20 for point in points], "o-")
    left.set(xscale="log", xlabel="input, MB", ylabel="peak memory, MiB")
    left.set_ylim(bottom=0)
    right.plot(sizes, [point["seconds"] for point in points], "o-")
    right.set(xscale="log", yscale="log", xlabel="input, MB", ylabel="seconds")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(
    largest: Annotated[int, typer.Option(min=10, help="Megabytes of the largest input.")] = 1000,
    output: Annotated[Path, typer.Option(help="File that gets the figures; the plot is beside it.")] = Path(
        "runs/bench/data_memory.json"
    ),
) -> None:
    """Measure how time and memory grow with the input."""
    from burnish.files import atomic_write_text

    points = []
    for megabytes in [size for size in SIZES if size <= largest]:
        with tempfile.TemporaryDirectory(prefix="burnish-memory-") as place:
            folder = Path(place)
            count, size = documents.write(folder / "documents", n_bytes=megabytes * 10**6)
            answer = subprocess.run(
                [sys.executable, "-m", "benchmarks.data_memory", "--one", str(folder)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            points.append({"bytes": size, "documents_written": count, **json.loads(answer.stdout)})
        point = points[-1]
        print(
            f"{megabytes:>6} MB, {count:,} documents: {point['seconds']:.1f} s, "
            f"{point['peak_rss_bytes'] / 2**20:.0f} MiB, {point['kept']:,} kept",
            flush=True,
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(output, json.dumps(points, indent=2) + "\n")
    plot(points, output.with_suffix(".svg"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(run_one(Path(sys.argv[2]) / "documents", Path(sys.argv[2]) / "out")))
    else:
        typer.run(main)
