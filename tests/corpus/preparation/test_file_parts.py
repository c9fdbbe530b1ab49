"""A large file of JSON lines in several shards: the same documents as in one."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus.preparation import pipeline, sources
from burnish.corpus.preparation.engines import Processes
from burnish.corpus.preparation.sources import DocumentSource, Shard, shards_of
from burnish.corpus.preparation.steps.basic import ExactDuplicates, Normalize

LINES = st.sampled_from(
    [
        b'{"text": "a"}',
        b'{"text": "\xc3\xa9"}\r',
        b"",
        b"  ",
        b"[1]",
        b'{"text": 1}',
        b'{"text": "b',
        b"\xff",
        b"x" * 90,
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(LINES, max_size=40),
    head=st.sampled_from([b"", b"\xef\xbb\xbf", b"\n\n"]),
    end=st.sampled_from([b"", b"\n"]),
    max_bytes=st.integers(20, 400),
)
def test_parts_together_are_the_file(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], head: bytes, end: bytes, max_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    (folder / "a.jsonl").write_bytes(head + b"\n".join([b'{"text": "first"}', *lines]) + end)
    whole, parts = (
        shards_of([DocumentSource(paths=["."])], folder, [], folder, max_bytes=size) for size in (1 << 20, max_bytes)
    )

    def rows(shards: list[Shard]) -> list[tuple[str | None, str | None]]:
        return [(row["origin"], row["text"]) for shard in shards for row in shard.documents([], Counter())]

    assert len(whole) == 1
    assert rows(parts) == rows(whole)
    if len(parts) > 1:
        data = (folder / "a.jsonl").read_bytes()
        places = [file.part for shard in parts for file in shard.files if file.part is not None]
        assert b"".join(data[part.start : part.end] for part in places) == data
        assert [part.first_line for part in places] == [data.count(b"\n", 0, part.start) + 1 for part in places]


@pytest.mark.slow
def test_one_large_file_is_the_work_of_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "docs.jsonl").open("w", encoding="utf-8") as file:
        for number in range(300):
            file.write(json.dumps({"text": f"Document {number // 2} has some words of its own."}) + "\n")
    sources, steps = [DocumentSource(paths=[str(tmp_path / "docs.jsonl")])], [Normalize(), ExactDuplicates()]
    whole = pipeline.prepare(sources, steps, tmp_path / "whole")
    monkeypatch.setattr(pipeline, "shards_of", lambda *args: shards_of(*args, max_bytes=2000))
    parts = pipeline.prepare(sources, steps, tmp_path / "parts", engine=Processes(2))
    kept = [pl.read_parquet(tmp_path / name / "documents" / "*.parquet").sort("origin") for name in ("whole", "parts")]
    assert kept[0].equals(kept[1])
    assert (whole.n_shards, whole.documents) == (1, 150)
    assert parts.n_shards > 5
    assert pipeline.prepare(sources, steps, tmp_path / "parts").n_reused == parts.n_shards


def test_many_tiny_files_are_several_shards_of_which_a_new_one_changes_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SHARD_FILES", 20)
    for number in range(100):
        (tmp_path / f"{number:03d}.txt").write_text(f"Note {number}.", encoding="utf-8")

    def shards() -> list[tuple[str, ...]]:
        found = shards_of([DocumentSource(paths=[str(tmp_path)])], Path(), [], tmp_path)
        return [tuple(file.name for file in shard.files) for shard in found]

    before = shards()
    assert [name for names in before for name in names] == sorted(f"{number:03d}.txt" for number in range(100))
    assert max(map(len, before)) <= 20
    (tmp_path / "0500.txt").write_text("A new one.", encoding="utf-8")
    assert len({*shards()} - {*before}) <= 2
