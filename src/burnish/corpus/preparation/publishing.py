"""What a preparation leaves for others: documents, removed documents, clusters and the record."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

import burnish
from burnish.corpus.preparation.shard_task import ShardTask
from burnish.corpus.preparation.statistics import PreparationRecord, TokenCounter
from burnish.corpus.preparation.steps.step import CorpusStep
from burnish.files import atomic_write_text

DOCUMENTS_FOLDER, REMOVED_FOLDER, CLUSTERS_FOLDER = "documents", "removed", "clusters"
RECORD_FILE = "preparation.json"
_LARGEST_CLUSTERS = 10
_SHOWN = 400
_SAMPLE_CHARACTERS, _SAMPLE_DOCUMENTS = 1 << 20, 1000

Decided = Sequence[tuple[CorpusStep, Mapping[int, pl.DataFrame]]]
"""By phase, the step that had to see everything, and what it decided about the documents of each shard."""


def publish(
    output: Path,
    work: Path,
    phases: Sequence[Sequence[ShardTask]],
    decided: Decided,
    record: PreparationRecord,
    tokens: TokenCounter | None,
) -> None:
    """Write the output's folders and its record, and take out of `work` what belongs to no shard any more."""
    for name in (DOCUMENTS_FOLDER, REMOVED_FOLDER, CLUSTERS_FOLDER):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in (DOCUMENTS_FOLDER, REMOVED_FOLDER):
        (output / name).mkdir(parents=True)
    for task in phases[-1]:
        _link(task.path(".parquet"), output / DOCUMENTS_FOLDER / f"{task.shard.number:05d}.parquet")
    for phase, tasks in enumerate(phases):
        for task in tasks:
            _link(task.path(".removed.parquet"), output / REMOVED_FOLDER / f"{phase}-{task.shard.number:05d}.parquet")
    _publish_clusters(output, decided, record)
    if tokens is not None:
        record.tokenizer, record.characters_per_token = tokens.name, _characters_per_token(output, tokens)
    _clear(work, phases)
    content = {**asdict(record), "burnish": burnish.__version__}
    atomic_write_text(output / RECORD_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _link(path: Path, target: Path) -> None:
    """Without a second copy where the disk can link."""
    if not path.exists():
        return
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _publish_clusters(output: Path, decided: Decided, record: PreparationRecord) -> None:
    """Write of each step that found duplicates what was like what, and note the largest clusters."""
    for phase, (step, by_shard) in enumerate(decided):
        frames = [decisions for decisions in by_shard.values() if "kept" in decisions.columns]
        if not frames:
            continue
        clusters = (
            pl.concat(frames)
            .lazy()
            .explode("kept", "member")
            .group_by("kept")
            .agg(pl.col("member").sort(), pl.len().alias("n_removed"))
            .sort("n_removed", "kept", descending=[True, False])
            .collect()
        )
        (output / CLUSTERS_FOLDER).mkdir(exist_ok=True)
        name = f"{phase}-{step.name}"
        clusters.rename({"member": "removed"}).write_parquet(output / CLUSTERS_FOLDER / f"{name}.parquet")
        record.clusters[name] = _largest(output, clusters.head(_LARGEST_CLUSTERS))


def _largest(output: Path, clusters: pl.DataFrame) -> list[dict[str, Any]]:
    """The clusters with the text that stays, where a later step has not removed it."""
    wanted = clusters["kept"].to_list()
    files = sorted((output / DOCUMENTS_FOLDER).glob("*.parquet"))
    texts = (
        pl.scan_parquet(files)
        .filter(pl.col("id").is_in(wanted))
        .select("id", pl.col("text").str.slice(0, _SHOWN))
        .unique("id", keep="first")
        .collect()
    )
    by_id = dict(texts.iter_rows())
    return [
        {"kept": kept, "n_removed": n_removed, "text": by_id.get(kept)}
        for kept, n_removed in clusters.select("kept", "n_removed").iter_rows()
    ]


def _characters_per_token(output: Path, tokens: TokenCounter) -> float:
    """Of the first documents of each shard, some characters altogether."""
    files = sorted((output / DOCUMENTS_FOLDER).glob("*.parquet"))
    texts: list[str] = []
    for file in files:
        size = 0
        for text in pl.scan_parquet(file).select("text").head(_SAMPLE_DOCUMENTS).collect()["text"]:
            texts.append(text[:_SAMPLE_CHARACTERS])
            size += len(texts[-1])
            if size * len(files) > _SAMPLE_CHARACTERS:
                break
    return sum(map(len, texts)) / max(sum(tokens.count(texts)), 1)


def _clear(work: Path, phases: Sequence[Sequence[ShardTask]]) -> None:
    known = {f"{task.shard.number:05d}" for task in phases[0]}
    for folder in work.glob("phase-*"):
        if int(folder.name.removeprefix("phase-")) >= len(phases):
            shutil.rmtree(folder)
            continue
        for path in folder.iterdir():
            if path.name.partition(".")[0] not in known:
                path.unlink()
