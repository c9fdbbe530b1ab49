"""Documents through the same steps: Gopher's rules of quality and repetition, C4's, MinHash. Beside datatrove.

    python -m benchmarks.data prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Both sides read the same JSON lines, apply the same rules with the same thresholds, look for near duplicates by 14 bands
of 8 rows over runs of 5 words, and write what is kept and what is removed, each with so many processes as there are
threads. Each writes its own format: Parquet here, JSON lines there, uncompressed. The whole call is timed, processes
that start included.

What the sides keep differs where their words differ (`benchmarks.data_kept` says how much and why): datatrove's are
spaCy's, Burnish's what lies between white space. `words: white space` gives datatrove the latter, which also makes it
faster.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import documents, worker
from benchmarks.row import Config, Row, Target

BANDS, ROWS_OF_BAND, NGRAM = 14, 8, 5
STEPS: tuple[dict[str, Any], ...] = (
    {"type": "gopher_quality"},
    {"type": "gopher_repetition"},
    {"type": "c4_quality"},
    {
        "type": "minhash",
        "ngram": NGRAM,
        "bands": BANDS,
        "rows": ROWS_OF_BAND,
        "permutations": BANDS * ROWS_OF_BAND,
    },
)
_OWN_WORDS, _PLAIN_WORDS = "datatrove's own", "white space"
_COMMON: dict[str, Any] = {
    "module": "benchmarks.data",
    "peer": "datatrove",
    "unit": "documents/s",
    "target": Target(ratio=5),
    "parameters": {"documents": 20_000},
    "quick": {"documents": 500},
    "search": {"documents": 1000},
    # The kept sets are compared by `benchmarks.data_kept`; here, that both removed nearly the same number.
    "tolerance": 0.02,
}
ROWS = (
    Row(
        name="prepare",
        work="documents through Gopher's and C4's rules and MinHash, datatrove as it comes",
        axes={"words": (_OWN_WORDS,)},
        check={"documents": 1000, "words": _PLAIN_WORDS},
        **_COMMON,
    ),
    Row(
        name="prepare_plain_words",
        work="the same, datatrove with words between white space",
        axes={"words": (_PLAIN_WORDS,)},
        check={"documents": 1000},
        **_COMMON,
    ),
)


def prepare(config: Config) -> Config:
    for n in {config["documents"], 1000}:
        documents.write(_input(config, n), n_documents=n)
    return {}


def ours(config: Config) -> Config:
    from burnish.corpus.preparation.engines import Processes
    from burnish.corpus.preparation.pipeline import prepare as prepare_documents
    from burnish.corpus.preparation.settings import Preparation

    folder = _input(config, config["documents"])
    settings = Preparation.model_validate({"sources": [{"paths": [str(folder)]}], "steps": list(STEPS)})
    output = _output(config, "ours")
    watch = worker.Stopwatch(children=True)
    watch.start()
    record = prepare_documents(settings.sources, settings.steps, output, engine=Processes(config["threads"]))
    watch.stop()
    return _answer(config, watch, record.documents) | {"configuration": {"processes": config["threads"]}}


def peer(config: Config) -> Config:
    from benchmarks import datatrove_pipeline

    folder = _input(config, config["documents"])
    output = _output(config, "peer")
    watch = worker.Stopwatch(children=True)
    watch.start()
    datatrove_pipeline.run(
        folder, output, tasks=config["threads"], plain_words=config["words"] == _PLAIN_WORDS, bands=BANDS
    )
    watch.stop()
    kept = sum(1 for _ in lines(output / "documents"))
    return _answer(config, watch, kept) | {"configuration": {"workers": config["threads"]}}


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of all JSON lines below a folder."""
    for file in sorted(folder.rglob("*.jsonl")):
        with file.open(encoding="utf-8") as rows:
            yield from map(json.loads, rows)


def _answer(config: Config, watch: worker.Stopwatch, kept: int) -> Config:
    share = kept / config["documents"]
    return watch.answer(config["documents"]) | {"kept": kept, "evidence": {"share_kept": share}}


def _input(config: Config, n: int) -> Path:
    return Path(config["folder"]) / f"documents-{n}"


def _output(config: Config, side: str) -> Path:
    output = Path(config["folder"]) / f"kept-{side}"
    shutil.rmtree(output, ignore_errors=True)
    return output


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
