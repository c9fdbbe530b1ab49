"""Preparation: documents through a list of steps, shard by shard, with what each step did.

The list is cut behind each step that must see everything into phases. In a phase each shard is read, goes through the
phase's steps batch by batch, and is written with the signatures that the decision needs; then it is decided.

    work/phase-0/00000.parquet              documents after the steps up to the first that must see everything
                 00000.removed.parquet      documents that these steps removed, with the reason
                 00000.signatures.parquet   what the decision reads
                 00000.json                 statistics; written last, it says that the shard is whole
    documents/00000.parquet                 the kept documents, in shards, with the steps that they passed
    removed/0-00000.parquet                 the removed ones, by phase
    preparation.json                        settings, versions and the statistics of every step

Notable choices:
- memory holds a batch for each process, and the signatures while it is decided;
- a shard whose key (its files' contents, the steps, the decisions about it) is unchanged is not prepared again: so a
  killed run goes on, and a second run redoes only what has changed;
- the same function runs in this process, in others, and wherever an `Engine` puts it: the output is the same bits;
- of what a step takes out for its secrecy nothing is shown: of it and of the steps before, neither examples nor the
  texts of removed documents are written.
"""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pyarrow import parquet

import burnish
from burnish.corpus.folders import Skipped
from burnish.corpus.folders import rows as skipped_rows
from burnish.corpus.preparation.engines import Engine, InProcess
from burnish.corpus.preparation.sources import DocumentSource, Shard, settings_of, shards_of
from burnish.corpus.preparation.steps.step import BatchStep, CorpusStep, PreparationStep
from burnish.corpus.preparation.table import REASONS, SCHEMA, Outcome, batches
from burnish.errors import DataError
from burnish.files import atomic_file, atomic_write_text, sha256

BATCH_BYTES = 8 << 20
DOCUMENTS_FOLDER, REMOVED_FOLDER, WORK_FOLDER = "documents", "removed", "work"
RECORD_FILE = "preparation.json"
EXAMPLES = 5
"""Removed and changed documents that the statistics of a step show."""
_SHOWN = 400
_READING = "read"

Texts = Literal["all", "after", "none"]
OnProgress = Callable[[str, int, int], None]
"""Hears of a phase's title, how many of its shards are done, and how many there are."""


@dataclass
class StepRecord:
    """What a step did. seconds: of all processes together. removed, changed: examples, the same in every run.

    counts: what the step found, by kind. texts: which texts may be shown: all, of changed documents those that the step
    made, or none.
    """

    step: str
    documents_in: int = 0
    documents_out: int = 0
    characters_in: int = 0
    characters_out: int = 0
    n_changed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    removed: list[dict[str, str]] = field(default_factory=list)
    changed: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    texts: Texts = "all"

    def add(self, other: "StepRecord") -> None:
        """Take in what the step did elsewhere."""
        for name in ("documents_in", "documents_out", "characters_in", "characters_out", "n_changed", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons = _summed(self.reasons, other.reasons)
        self.counts = _summed(self.counts, other.counts)
        self.removed = _examples([*self.removed, *other.removed])
        self.changed = _examples([*self.changed, *other.changed])


@dataclass
class PreparationRecord:
    """What `prepare` did: statistics of reading and of every step in turn, and the files that were not read."""

    steps: list[StepRecord]
    skipped: list[dict[str, str]]
    settings: dict[str, Any]
    n_shards: int = 0
    n_reused: int = 0

    @property
    def documents(self) -> int:
        """How many are kept."""
        return self.steps[-1].documents_out


@dataclass(frozen=True)
class _Task:
    """A phase of a shard. carried: the step whose decisions, in `decisions`, come first.

    texts: what may be shown by the record of reading or of `carried`, and by those of `steps`.
    """

    phase: int
    shard: Shard
    folder: Path
    key: str
    before: Path | None
    carried: CorpusStep | None
    decisions: pl.DataFrame | None
    steps: tuple[BatchStep, ...]
    signs: CorpusStep | None
    passed: tuple[str, ...]
    texts: tuple[Texts, ...]

    def path(self, kind: str) -> Path:
        return self.folder / f"{self.shard.number:05d}{kind}"

    def whole(self) -> bool:
        """Whether an earlier run has left all that this one would make."""
        try:
            return bool(json.loads(self.path(".json").read_text(encoding="utf-8"))["key"] == self.key)
        except (OSError, ValueError, KeyError, TypeError):
            return False


def prepare(
    sources: Sequence[DocumentSource],
    steps: Sequence[PreparationStep],
    output: Path,
    *,
    folder: Path = Path(),
    work: Path | None = None,
    engine: Engine | None = None,
    on_progress: OnProgress = lambda title, done, total: None,
) -> PreparationRecord:
    """Prepare the documents of `sources` into the folder `output`.

    folder: what the paths of sources and steps are relative to. work: folder of what lets the next call redo only what
    has changed, `output/work` if left out. engine: who runs the shards; this process if left out.
    An interrupted call goes on where it was when it is made again.

    Raises:
        DataError: a file that is named cannot be read, there is no document, or none is left.
    """
    engine = engine or InProcess()
    steps = [step.located(folder) for step in steps]
    kept_work = work or output / WORK_FOLDER
    skipped: list[Skipped] = []
    shards = shards_of(sources, folder, skipped)
    if not shards:
        raise DataError(f"{', '.join(path for one in sources for path in one.paths)}: there is no document to read")
    base = json.dumps([settings_of(sources), burnish.__version__, pl.__version__])
    keys = {shard.number: _hashed(base, shard.key()) for shard in shards}
    names_of_steps = (_READING, *(step.name for step in steps))
    records = [StepRecord(name, texts=texts) for name, texts in zip(names_of_steps, _shown_texts(steps), strict=True)]
    record = PreparationRecord(records, skipped_rows(skipped), {"sources": settings_of(sources)}, len(shards))
    record.settings["steps"] = [step.model_dump(mode="json") for step in steps]
    record.n_reused = len(shards)
    carried: CorpusStep | None = None
    decided: dict[int, pl.DataFrame] = {}
    place = 0
    passed: tuple[str, ...] = ()
    tasks: list[_Task] = []
    phases: list[list[_Task]] = []
    for phase, (batch_steps, signs) in enumerate(_phases(steps)):
        place_of_phase = kept_work / f"phase-{phase}"
        place_of_phase.mkdir(parents=True, exist_ok=True)
        written = [*batch_steps, *([signs] if signs else [])]
        inputs = [sha256(step.path(file)) for step in written for file in step.inputs()]
        passed = (*passed, *(step.name for step in batch_steps))
        before = {task.shard.number: task.path(".parquet") for task in tasks}
        texts = tuple(one.texts for one in records[place : place + 1 + len(batch_steps)])
        tasks = []
        for shard in shards:
            decisions = decided.get(shard.number)
            keys[shard.number] = _hashed(
                keys[shard.number],
                *(step.model_dump_json() for step in written),
                *inputs,
                "" if decisions is None else decisions.write_json(),
                *texts,
            )
            tasks.append(
                _Task(
                    phase,
                    shard,
                    place_of_phase,
                    keys[shard.number],
                    before.get(shard.number),
                    carried,
                    decisions,
                    batch_steps,
                    signs,
                    passed,
                    texts,
                )
            )
        fresh = [task for task in tasks if not task.whole()]
        record.n_reused = min(record.n_reused, len(tasks) - len(fresh))
        title = (
            ", ".join([*([] if carried is None else [carried.name]), *(step.name for step in batch_steps)]) or "read"
        )
        done = len(tasks) - len(fresh)
        on_progress(title, done, len(tasks))
        for _ in engine.map(_run, fresh):
            done += 1
            on_progress(title, done, len(tasks))
        names = ([] if carried is None else [carried.name]) + [step.name for step in batch_steps]
        start = place if phase else 0
        for task in tasks:
            _collect(task, records[start : start + len(names) + (phase == 0)], record)
        place = start + len(names) + (phase == 0)
        phases.append(tasks)
        if signs is not None:
            decided = _decide(signs, tasks)
            passed = (*passed, signs.name)
        carried = signs
    if not records[-1].documents_out:
        raise DataError(_nothing_left(records))
    _publish(output, kept_work, phases)
    _write_record(output, record)
    return record


def _phases(steps: Sequence[PreparationStep]) -> Iterator[tuple[tuple[BatchStep, ...], CorpusStep | None]]:
    """The steps in phases, each but the last ended by one that must see everything."""
    run: list[BatchStep] = []
    for step in steps:
        if isinstance(step, CorpusStep):
            yield tuple(run), step
            run = []
        elif isinstance(step, BatchStep):
            run.append(step)
        else:
            raise TypeError(f"{step.name} is neither a BatchStep nor a CorpusStep")
    yield tuple(run), None


def _shown_texts(steps: Sequence[PreparationStep]) -> list[Texts]:
    """What the records of reading and of each step may show: no text that a later step takes secrets out of."""
    last = max((number for number, step in enumerate(steps, start=1) if step.secret), default=-1)
    return ["none" if number < last else "after" if number == last else "all" for number in range(len(steps) + 1)]


def _run(task: _Task) -> None:
    """Take a shard through a phase and write what came out; the statistics last."""
    names = [*([] if task.phase else [_READING]), *([task.carried.name] if task.carried else [])]
    names += [step.name for step in task.steps]
    records = [StepRecord(name, texts=texts) for name, texts in zip(names, task.texts, strict=True)]
    skipped: list[Skipped] = []
    task.path(".json").unlink(missing_ok=True)
    with (
        _Writer(task.path(".parquet")) as kept,
        _Writer(task.path(".removed.parquet")) as gone,
        _Writer(task.path(".signatures.parquet")) as signatures,
    ):
        number = 0
        for batch in _batches(task, skipped, records[0]):
            left = _stepped(task, batch, records if task.carried else records[1:], gone)
            if not left.height:
                continue
            if task.signs is not None:
                signatures.write(_signed(task, task.signs, left, number))
            number += left.height
            kept.write(left if task.signs else left.with_columns(steps=pl.lit(list(task.passed))))
    content = {"key": task.key, "skipped": skipped_rows(skipped), "steps": [asdict(one) for one in records]}
    atomic_write_text(task.path(".json"), json.dumps(content))


def _stepped(task: _Task, batch: pl.DataFrame, records: Sequence[StepRecord], gone: "_Writer") -> pl.DataFrame:
    """Carry out what is decided about a batch, and take it through the steps."""
    rest = iter(records)
    if task.carried is not None and task.decisions is not None:
        batch = _apply(partial(task.carried.carry_out, decisions=task.decisions), batch, next(rest), gone).drop("row")
    for step in task.steps:
        batch = _apply(step, batch, next(rest), gone)
    return batch


def _batches(task: _Task, skipped: list[Skipped], reading: StepRecord) -> Iterator[pl.DataFrame]:
    """The documents of a shard: read from its files, or as the phase before has left them, numbered by `row`."""
    if task.before is None:
        for batch in batches(task.shard.documents(skipped), BATCH_BYTES):
            reading.documents_in += batch.height
            reading.characters_in += _characters(batch)
            reading.documents_out, reading.characters_out = reading.documents_in, reading.characters_in
            yield batch
        return
    if not task.before.exists():
        return
    row = 0
    with parquet.ParquetFile(task.before) as file:
        for group in range(file.num_row_groups):
            batch = pl.DataFrame(file.read_row_group(group))
            yield batch.with_columns(pl.int_range(row, row + batch.height, dtype=pl.UInt32).alias("row"))
            row += batch.height


def _apply(
    step: Callable[[pl.DataFrame], Outcome], batch: pl.DataFrame, record: StepRecord, gone: "_Writer"
) -> pl.DataFrame:
    """Apply a step and note what it did."""
    start = time.perf_counter()
    place = pl.int_range(batch.height, dtype=pl.UInt32, eager=True).alias("_place")
    outcome = step(batch.with_columns(place))
    record.seconds += time.perf_counter() - start
    kept = outcome.kept
    record.documents_in += batch.height
    record.documents_out += kept.height
    record.characters_in += _characters(batch)
    record.characters_out += _characters(kept)
    before = batch["text"].gather(kept["_place"])
    record.counts = _summed(record.counts, outcome.counts)
    changed = before != kept["text"]
    if count := int(changed.sum()):
        record.n_changed += count
        pairs = kept.select("hash", "origin", after="text").with_columns(before=before).filter(changed)
        if record.texts != "none":
            columns = ("before", "after") if record.texts == "all" else ("after",)
            record.changed = _examples([*record.changed, *_shown(pairs, *columns)])
    if outcome.removed is not None and outcome.removed.height:
        removed = outcome.removed.drop("_place", "row", strict=False)
        if record.texts != "all":
            removed = removed.with_columns(text=pl.lit(""))
        if record.texts == "none":
            removed = removed.with_columns(detail=pl.lit(None, pl.String))
        counts = Counter(removed["reason"].to_list())
        record.reasons = _summed(record.reasons, counts)
        record.removed = _examples([*record.removed, *_shown(removed, "text", "reason", "detail")])
        gone.write(removed.select(*SCHEMA, *REASONS).with_columns(step=pl.lit(record.step)))
    return kept.drop("_place")


def _signed(task: _Task, step: CorpusStep, batch: pl.DataFrame, first_row: int) -> pl.DataFrame:
    return step.sign(batch).with_columns(
        batch["id"],
        batch["source"],
        pl.lit(task.shard.source_number, pl.UInt32).alias("source_number"),
        pl.lit(task.shard.number, pl.UInt32).alias("shard"),
        pl.int_range(first_row, first_row + batch.height, dtype=pl.UInt32).alias("row"),
    )


def _decide(step: CorpusStep, tasks: Sequence[_Task]) -> dict[int, pl.DataFrame]:
    """The decisions of a step for each shard, in the order of rows; none for a shard without documents."""
    files = [path for task in tasks if (path := task.path(".signatures.parquet")).exists()]
    if not files:
        raise DataError(f"no document is left before {step.name}; its earlier steps remove all of them")
    decisions = step.decide(pl.scan_parquet(files)).sort("shard", "row")
    return {
        task.shard.number: decisions.filter(pl.col("shard") == task.shard.number).drop("shard").cast({"row": pl.UInt32})
        for task in tasks
    }


def _collect(task: _Task, records: Sequence[StepRecord], record: PreparationRecord) -> None:
    """Add what a shard's statistics say."""
    content = json.loads(task.path(".json").read_text(encoding="utf-8"))
    for one, found in zip(records, content["steps"], strict=True):
        one.add(StepRecord(**found))
    record.skipped += content["skipped"]


def _publish(output: Path, kept_work: Path, phases: Sequence[Sequence[_Task]]) -> None:
    """Make `documents/` and `removed/` of the phases' files, without a second copy where the disk can link."""
    wanted: dict[Path, Path] = {}
    for task in phases[-1]:
        wanted[output / DOCUMENTS_FOLDER / f"{task.shard.number:05d}.parquet"] = task.path(".parquet")
    for phase, tasks in enumerate(phases):
        for task in tasks:
            name = f"{phase}-{task.shard.number:05d}.parquet"
            wanted[output / REMOVED_FOLDER / name] = task.path(".removed.parquet")
    for folder in (output / DOCUMENTS_FOLDER, output / REMOVED_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for target, path in wanted.items():
        if path.exists():
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
    known = {path.name for task in phases[0] for path in task.folder.glob(f"{task.shard.number:05d}.*")}
    for work in kept_work.glob("phase-*"):
        if int(work.name.removeprefix("phase-")) >= len(phases):
            shutil.rmtree(work)
            continue
        for path in work.iterdir():
            if path.name.partition(".")[0] not in {name.partition(".")[0] for name in known}:
                path.unlink()


def _write_record(output: Path, record: PreparationRecord) -> None:
    content = {**asdict(record), "burnish": burnish.__version__}
    atomic_write_text(output / RECORD_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


class _Writer:
    """A Parquet file, whole or not there; one to which nothing is written is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        self._writer: parquet.ParquetWriter | None = None

    def __enter__(self) -> "_Writer":
        self.path.unlink(missing_ok=True)
        return self

    def write(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow()
        if self._writer is None:
            self._file = atomic_file(self.path)
            self._writer = parquet.ParquetWriter(self._file.__enter__(), table.schema, compression="zstd")
        self._writer.write_table(table.cast(self._writer.schema))

    def __exit__(self, *error: Any) -> None:
        if self._writer is not None:
            self._writer.close()
            self._file.__exit__(*error)


def _characters(batch: pl.DataFrame) -> int:
    return int(batch["text"].str.len_chars().sum())


def _shown(frame: pl.DataFrame, *columns: str) -> list[dict[str, str]]:
    """The rows that are examples, their texts shortened."""
    shown = frame.sort("hash", "origin").head(EXAMPLES)
    return shown.select("hash", "origin", *(pl.col(column).str.slice(0, _SHOWN) for column in columns)).to_dicts()


def _examples(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(found, key=lambda one: (one["hash"], one["origin"]))[:EXAMPLES]


def _summed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Counts of both, the largest first; equal ones by name, so that the order of shards does not show."""
    return dict(sorted((Counter(one) + Counter(other)).items(), key=lambda item: (-item[1], item[0])))


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _nothing_left(records: Sequence[StepRecord]) -> str:
    lines = [f"{one.step}: {one.documents_in:,} -> {one.documents_out:,} documents" for one in records]
    return "no document is left:\n" + "\n".join(lines) + "\nloosen the step that removes them"
