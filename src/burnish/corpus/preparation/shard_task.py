"""A phase of a shard: its documents through the phase's steps, batch by batch, into files.

The same function runs in this process, in others, and wherever an `Engine` puts it.

Notable choices:
- memory holds a batch of the shard;
- the statistics are written last, with the task's key: where they are, the task is done;
- of what a step takes out for its secrecy nothing is shown: of it and of the steps before, neither examples nor the
  texts of removed documents are written.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from pyarrow import parquet

from burnish.corpus.folders import Skipped
from burnish.corpus.folders import rows as skipped_rows
from burnish.corpus.preparation.sources import Shard
from burnish.corpus.preparation.statistics import Composition, StepRecord, Texts, examples, shown, shown_changes, summed
from burnish.corpus.preparation.steps.step import BatchStep, CorpusStep
from burnish.corpus.preparation.table import REASONS, SCHEMA, Outcome, batches
from burnish.files import atomic_file, atomic_write_text

BATCH_BYTES = 8 << 20
READING = "read"


@dataclass(frozen=True)
class ShardTask:
    """A phase of a shard. carried: the step whose decisions, in `decisions`, come first.

    signs: the step at the phase's end that must see everything, for which signatures are written.
    passed: names of the steps that the documents will have passed.
    texts: what may be shown by the record of reading or of `carried`, and by those of `steps`.
    stamp: of the shard's files when `key` was made of their contents.
    """

    phase: int
    shard: Shard
    folder: Path
    key: str
    stamp: str
    before: Path | None
    carried: CorpusStep | None
    decisions: pl.DataFrame | None
    steps: tuple[BatchStep, ...]
    signs: CorpusStep | None
    passed: tuple[str, ...]
    texts: tuple[Texts, ...]

    def path(self, kind: str) -> Path:
        """One of the files that the task writes."""
        return self.folder / f"{self.shard.number:05d}{kind}"

    def whole(self) -> bool:
        """Whether an earlier run has left all that this one would make."""
        try:
            return bool(json.loads(self.path(".json").read_text(encoding="utf-8"))["key"] == self.key)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def record_names(self) -> list[str]:
        """What the task's statistics are of, in their order."""
        first = [] if self.phase else [READING]
        return [*first, *([self.carried.name] if self.carried else []), *(step.name for step in self.steps)]


def run(task: ShardTask) -> None:
    """Take a shard through a phase and write what came out; the statistics last."""
    records = [StepRecord(name, texts=texts) for name, texts in zip(task.record_names(), task.texts, strict=True)]
    skipped: list[Skipped] = []
    read, left_over = Composition(), Composition()
    task.path(".json").unlink(missing_ok=True)
    with (
        _Writer(task.path(".parquet")) as kept,
        _Writer(task.path(".removed.parquet")) as gone,
        _Writer(task.path(".signatures.parquet")) as signatures,
    ):
        number = 0
        for batch in _batches(task, skipped, records[0], read):
            left = _stepped(task, batch, records if task.carried else records[1:], gone)
            if not left.height:
                continue
            if task.signs is not None:
                signatures.write(_signed(task, task.signs, left, number))
            else:
                left_over.count(left)
            number += left.height
            kept.write(left if task.signs else left.with_columns(steps=pl.lit(list(task.passed))))
    unchanged = task.before is not None or task.shard.stamp() == task.stamp
    content = {
        "key": task.key if unchanged else None,  # what came out is not that of the contents that the key is made of
        "documents": number,
        "skipped": skipped_rows(skipped),
        "steps": [asdict(one) for one in records],
        "read": asdict(read),
        "kept": asdict(left_over),
    }
    atomic_write_text(task.path(".json"), json.dumps(content))


def _stepped(task: ShardTask, batch: pl.DataFrame, records: Sequence[StepRecord], gone: "_Writer") -> pl.DataFrame:
    """Carry out what is decided about a batch, and take it through the steps."""
    rest = iter(records)
    if task.carried is not None and task.decisions is not None:
        batch = _apply(partial(task.carried.carry_out, decided=task.decisions), batch, next(rest), gone).drop("row")
    for step in task.steps:
        batch = _apply(step, batch, next(rest), gone)
    return batch


def _batches(task: ShardTask, skipped: list[Skipped], reading: StepRecord, read: Composition) -> Iterator[pl.DataFrame]:
    """The documents of a shard: read from its files, or as the phase before has left them, numbered by `row`."""
    if task.before is None:
        encodings: Counter[str] = Counter()
        for batch in batches(task.shard.documents(skipped, encodings), BATCH_BYTES):
            reading.documents_in += batch.height
            reading.characters_in += _characters(batch)
            reading.documents_out, reading.characters_out = reading.documents_in, reading.characters_in
            read.count(batch)
            yield batch
        read.encodings = dict(encodings)
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
    record.counts = summed(record.counts, outcome.counts)
    changed = before != kept["text"]
    if count := int(changed.sum()):
        record.n_changed += count
        pairs = kept.select("hash", "origin", after="text").with_columns(before=before).filter(changed)
        if record.texts != "none":
            record.changed = examples([*record.changed, *shown_changes(pairs, record.texts)])
    if outcome.removed is not None and outcome.removed.height:
        removed = outcome.removed.drop("_place", "row", strict=False)
        if record.texts != "all":
            removed = removed.with_columns(text=pl.lit(""))
        if record.texts == "none":
            removed = removed.with_columns(detail=pl.lit(None, pl.String))
        record.reasons = summed(record.reasons, Counter(removed["reason"].to_list()))
        record.removed = examples([*record.removed, *shown(removed, "text", "reason", "detail")])
        gone.write(removed.select(*SCHEMA, *REASONS).with_columns(step=pl.lit(record.step)))
    return kept.drop("_place")


def _signed(task: ShardTask, step: CorpusStep, batch: pl.DataFrame, first_row: int) -> pl.DataFrame:
    return step.sign(batch).with_columns(
        batch["id"],
        batch["source"],
        batch["origin"],
        pl.lit(task.shard.source_number, pl.UInt32).alias("source_number"),
        pl.lit(task.shard.number, pl.UInt32).alias("shard"),
        pl.int_range(first_row, first_row + batch.height, dtype=pl.UInt32).alias("row"),
    )


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
