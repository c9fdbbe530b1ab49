"""Preparation: documents through a list of steps, shard by shard, with what each step did.

The list is cut behind each step that must see everything into phases. In a phase each shard is read, goes through the
phase's steps batch by batch, and is written with the signatures that the decision needs; then it is decided.

    work/phase-0/00000.parquet              documents after the steps up to the first that must see everything
                 00000.removed.parquet      documents that these steps removed, with the reason
                 00000.signatures.parquet   what the decision reads
                 00000.json                 statistics; written last, it says that the shard is whole
    documents/00000.parquet                 the kept documents, in shards, with the steps that they passed
    removed/0-00000.parquet                 the removed ones, by phase
    clusters/0-minhash.parquet              by phase, which documents were alike, and which of them stayed
    preparation.json                        settings, versions and the statistics of every step

Notable choices:
- memory holds a batch for each process, and parts of the signatures while it is decided;
- a shard whose key (its files' contents, the steps, the decisions about it, the versions of the libraries at work) is
  unchanged is not prepared again: so a killed run goes on, and a second run redoes only what has changed;
- the same function runs in this process, in others, and wherever an `Engine` puts it: the output is the same bits.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

import burnish
from burnish.corpus.folders import Skipped
from burnish.corpus.folders import rows as skipped_rows
from burnish.corpus.preparation import publishing
from burnish.corpus.preparation.engines import InProcess, TaskRunner
from burnish.corpus.preparation.shard_task import READING, ShardTask, run
from burnish.corpus.preparation.sources import LIBRARIES, DocumentSource, Shard, settings_of, shards_of
from burnish.corpus.preparation.statistics import Composition, PreparationRecord, StepRecord, Texts, TokenCounter
from burnish.corpus.preparation.steps.step import BatchStep, CorpusStep, PreparationStep, versions
from burnish.errors import DataError
from burnish.files import sha256

WORK_FOLDER, SITES_FOLDER = "work", "sites"

OnProgress = Callable[[str, int, int], None]
"""Hears of a phase's title, how many of its shards are done, and how many there are."""


def prepare(
    sources: Sequence[DocumentSource],
    steps: Sequence[PreparationStep],
    output: Path,
    *,
    folder: Path = Path(),
    work: Path | None = None,
    engine: TaskRunner | None = None,
    tokens: TokenCounter | None = None,
    on_progress: OnProgress = lambda title, done, total: None,
) -> PreparationRecord:
    """Prepare the documents of `sources` into the folder `output`.

    folder: what the paths of sources and steps are relative to. work: folder of what lets the next call redo only what
    has changed, `output/work` if left out. engine: who runs the shards; this process if left out.
    tokens: measures how long a token is, on a sample of what is kept.
    An interrupted call goes on where it was when it is made again.

    Raises:
        DataError: a file that is named cannot be read, there is no document, or none is left.
    """
    skipped: list[Skipped] = []
    work = (work or output / WORK_FOLDER).absolute()
    shards = shards_of(sources, folder, skipped, work / SITES_FOLDER)
    if not shards:
        raise DataError(f"{', '.join(path for one in sources for path in one.paths)}: there is no document to read")
    steps = [step.located(folder) for step in steps]
    preparation = _Preparation(sources, steps, shards, work, skipped)
    for batch_steps, signs in _phases(steps):
        preparation.phase(batch_steps, signs, engine or InProcess(), on_progress)
    record = preparation.record
    if not record.documents:
        raise DataError(_nothing_left(record.steps))
    publishing.publish(output, preparation.work, preparation.phases, preparation.decided_by_phase, record, tokens)
    return record


class _Preparation:
    """A call of `prepare` between its phases: where each shard's documents are, and what is decided about them."""

    def __init__(
        self,
        sources: Sequence[DocumentSource],
        steps: Sequence[PreparationStep],
        shards: Sequence[Shard],
        work: Path,
        skipped: Sequence[Skipped],
    ) -> None:
        names = (READING, *(step.name for step in steps))
        records = [StepRecord(name, texts=texts) for name, texts in zip(names, _shown_texts(steps), strict=True)]
        settings = {"sources": settings_of(sources), "steps": [step.model_dump(mode="json") for step in steps]}
        self.record = PreparationRecord(records, skipped_rows(skipped), settings, len(shards), len(shards))
        self.shards, self.work = shards, work
        base = json.dumps([settings_of(sources), burnish.__version__, versions(("polars", *LIBRARIES))])
        self.stamps = {shard.number: shard.stamp() for shard in shards}
        self.keys = {shard.number: _hashed(base, shard.key()) for shard in shards}
        self.phases: list[list[ShardTask]] = []
        self.decided_by_phase: list[tuple[CorpusStep, dict[int, pl.DataFrame]]] = []
        self.place = 0  # of the next record to fill
        self.passed: tuple[str, ...] = ()

    def phase(
        self, steps: tuple[BatchStep, ...], signs: CorpusStep | None, engine: TaskRunner, on_progress: OnProgress
    ) -> None:
        """Take all shards through steps, and decide what the one at the end must see everything for."""
        tasks = self._tasks(steps, signs)
        fresh = [task for task in tasks if not task.whole()]
        done = len(tasks) - len(fresh)
        self.record.n_reused = min(self.record.n_reused, done)
        names = tasks[0].record_names()
        title = ", ".join(name for name in names if name != READING) or READING
        on_progress(title, done, len(tasks))
        for _ in engine.map(run, fresh):
            done += 1
            on_progress(title, done, len(tasks))
        for task in tasks:
            _collect(task, self.record.steps[self.place : self.place + len(names)], self.record)
            if not task.whole():  # its files were changed meanwhile: nothing made of them may be taken for theirs again
                self.keys[task.shard.number] = secrets.token_hex()
        self.place += len(names)
        self.phases.append(tasks)
        if signs is not None:
            self.decided_by_phase.append((signs, _decide(signs, tasks)))
            self.passed = (*self.passed, signs.name)

    def _tasks(self, steps: tuple[BatchStep, ...], signs: CorpusStep | None) -> list[ShardTask]:
        number = len(self.phases)
        folder = self.work / f"phase-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        before = {task.shard.number: task.path(".parquet") for task in self.phases[-1]} if self.phases else {}
        carried, decided = self.decided_by_phase[-1] if self.decided_by_phase else (None, {})
        self.passed = (*self.passed, *(step.name for step in steps))
        n_records = len(steps) + 1
        texts = tuple(one.texts for one in self.record.steps[self.place : self.place + n_records])
        written = [*steps, *([signs] if signs else [])]
        parts = [
            *(step.model_dump_json() for step in written),
            *(sha256(step.path(file)) for step in written for file in step.inputs()),
            json.dumps([versions(step.libraries) for step in written]),
            *texts,
        ]
        for shard in self.shards:
            decisions = decided.get(shard.number)
            said = "" if decisions is None else decisions.write_json()
            self.keys[shard.number] = _hashed(self.keys[shard.number], said, *parts)
        return [
            ShardTask(
                phase=number,
                shard=shard,
                folder=folder,
                key=self.keys[shard.number],
                stamp=self.stamps[shard.number],
                before=before.get(shard.number),
                carried=carried,
                decisions=decided.get(shard.number),
                steps=steps,
                signs=signs,
                passed=self.passed,
                texts=texts,
            )
            for shard in self.shards
        ]


def _phases(steps: Sequence[PreparationStep]) -> Iterator[tuple[tuple[BatchStep, ...], CorpusStep | None]]:
    """The steps in phases, each but the last ended by one that must see everything."""
    run_of_steps: list[BatchStep] = []
    for step in steps:
        if isinstance(step, CorpusStep):
            yield tuple(run_of_steps), step
            run_of_steps = []
        elif isinstance(step, BatchStep):
            run_of_steps.append(step)
        else:
            raise TypeError(f"{step.name} is neither a BatchStep nor a CorpusStep")
    yield tuple(run_of_steps), None


def _shown_texts(steps: Sequence[PreparationStep]) -> list[Texts]:
    """What the records of reading and of each step may show: no text that a later step takes secrets out of."""
    last = max((number for number, step in enumerate(steps, start=1) if step.secret), default=-1)
    return ["none" if number < last else "after" if number == last else "all" for number in range(len(steps) + 1)]


def _decide(step: CorpusStep, tasks: Sequence[ShardTask]) -> dict[int, pl.DataFrame]:
    """The decisions of a step for each shard, in the order of rows; none for a shard without documents."""
    files = [path for task in tasks if (path := task.path(".signatures.parquet")).exists()]
    if not files:
        raise DataError(f"no document is left before {step.name}; its earlier steps remove all of them")
    decisions = step.decide(pl.scan_parquet(files)).sort("shard", "row")
    return {
        task.shard.number: decisions.filter(pl.col("shard") == task.shard.number).drop("shard").cast({"row": pl.UInt32})
        for task in tasks
    }


def _collect(task: ShardTask, records: Sequence[StepRecord], record: PreparationRecord) -> None:
    """Add what a shard's statistics say."""
    content = json.loads(task.path(".json").read_text(encoding="utf-8"))
    for one, found in zip(records, content["steps"], strict=True):
        one.add(StepRecord(**found))
    record.skipped += content["skipped"]
    record.read.add(Composition(**content["read"]))
    record.kept.add(Composition(**content["kept"]))


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _nothing_left(records: Sequence[StepRecord]) -> str:
    lines = [f"{one.step}: {one.documents_in:,} -> {one.documents_out:,} documents" for one in records]
    return "no document is left:\n" + "\n".join(lines) + "\nloosen the step that removes them"
