"""Preparation of documents: shards, phases, resumption, statistics."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from burnish.corpus.preparation import pipeline
from burnish.corpus.preparation.engines import InProcess, Processes
from burnish.corpus.preparation.pipeline import prepare
from burnish.corpus.preparation.sources import DocumentSource, shards_of
from burnish.corpus.preparation.steps.basic import ExactDuplicates, MinCharacters, Normalize
from burnish.corpus.preparation.steps.step import PreparationStep
from burnish.errors import DataError

STEPS: list[PreparationStep] = [Normalize(), ExactDuplicates(), MinCharacters(characters=10)]


def write_folder(folder: Path) -> Path:
    """Twelve notes of which two are equal but for white space, one is short, one empty and one no text."""
    folder.mkdir()
    for number in range(8):
        (folder / f"note-{number}.txt").write_text(f"The {number}th note says something.\r\n", encoding="utf-8")
    (folder / "twin.md").write_text("the 3th  note says something.", encoding="utf-8")
    (folder / "short.txt").write_text("Hm.", encoding="utf-8")
    (folder / "empty.txt").write_text("", encoding="utf-8")
    (folder / "image.txt").write_bytes(bytes(range(256)) * 20)
    rows = [{"id": f"row-{n}", "text": f"Row {n} of a data file.", "license": "CC0"} for n in range(4)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def kept(output: Path) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(file) for file in sorted((output / "documents").glob("*.parquet")))


def removed(output: Path) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(file) for file in sorted((output / "removed").glob("*.parquet")))


def small_shards(monkeypatch: pytest.MonkeyPatch, max_bytes: int = 60) -> None:
    monkeypatch.setattr(pipeline, "shards_of", lambda *args: shards_of(*args, max_bytes=max_bytes))


def sources(folder: Path) -> list[DocumentSource]:
    return [DocumentSource(name="notes", paths=[str(folder)], licence="MIT")]


@pytest.mark.parametrize("max_bytes", [1, 60, 10**6])
def test_documents_go_through_the_steps_whatever_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_bytes: int
) -> None:
    small_shards(monkeypatch, max_bytes)
    record = prepare(sources(write_folder(tmp_path / "docs")), STEPS, tmp_path / "out")
    table = kept(tmp_path / "out").sort("origin")
    notes = [f"The {n}th note says something." for n in range(8)]
    assert set(table["text"]) < {
        *notes,
        "the 3th  note says something.",
        *(f"Row {n} of a data file." for n in range(4)),
    }
    assert len(table) == 12
    assert set(table.filter(pl.col("id").str.starts_with("row"))["licence"]) == {"CC0"}
    assert set(table.filter(~pl.col("id").str.starts_with("row"))["licence"]) == {"MIT"}
    assert table["steps"].to_list() == [["normalize", "exact_duplicates", "min_characters"]] * 12
    gone = removed(tmp_path / "out")
    assert sorted(zip(gone["step"], gone["reason"], strict=True)) == [
        ("exact_duplicates", "exact duplicate"),
        ("min_characters", "too short"),
    ]
    by_step = {one.step: one for one in record.steps}
    assert [one.step for one in record.steps] == ["read", "normalize", "exact_duplicates", "min_characters"]
    assert (by_step["read"].documents_in, record.documents) == (14, 12)
    assert by_step["normalize"].n_changed == 8
    assert {one["origin"] for one in by_step["normalize"].changed} <= {f"note-{n}.txt" for n in range(8)}
    assert by_step["min_characters"].reasons == {"too short": 1}
    assert by_step["min_characters"].removed[0]["text"] == "Hm."
    assert sorted(one["reason"] for one in record.skipped) == ["empty file", "file that is not UTF-8"]


@pytest.mark.slow
def test_kept_and_removed_are_the_same_in_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)
    folder = write_folder(tmp_path / "docs")
    records = [prepare(sources(folder), STEPS, tmp_path / name, engine=engine) for name, engine in ENGINES.items()]
    first, second = (contents(tmp_path / name) for name in ENGINES)
    assert first == second
    assert [one.reasons for one in records[0].steps] == [one.reasons for one in records[1].steps]


ENGINES = {"here": InProcess(), "elsewhere": Processes(2)}


def contents(output: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(output)): file.read_bytes()
        for name in ("documents", "removed")
        for file in sorted((output / name).glob("*.parquet"))
    }


class Counted:
    """An engine that counts shards, and may be killed after some."""

    def __init__(self, kill_after: int | None = None) -> None:
        self.count, self.kill_after = 0, kill_after

    def map(self, function: Any, tasks: Sequence[Any]) -> Iterator[Any]:
        for task in tasks:
            if self.count == self.kill_after:
                raise KeyboardInterrupt
            self.count += 1
            yield function(task)


@pytest.mark.parametrize("kill_after", [1, 9])
def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_after: int) -> None:
    small_shards(monkeypatch)
    folder = write_folder(tmp_path / "docs")
    whole = Counted()
    prepare(sources(folder), STEPS, tmp_path / "whole", engine=whole)
    with pytest.raises(KeyboardInterrupt):
        prepare(sources(folder), STEPS, tmp_path / "killed", engine=Counted(kill_after))
    rest = Counted()
    record = prepare(sources(folder), STEPS, tmp_path / "killed", engine=rest)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert rest.count == whole.count - kill_after
    assert record.documents == 12


def test_a_second_run_redoes_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)
    folder = write_folder(tmp_path / "docs")
    everything, nothing, some = Counted(), Counted(), Counted()
    prepare(sources(folder), STEPS, tmp_path / "out", engine=everything)
    prepare(sources(folder), STEPS, tmp_path / "out", engine=nothing)
    (folder / "note-7.txt").write_text("The 7th note says otherwise.\r\n", encoding="utf-8")
    prepare(sources(folder), STEPS, tmp_path / "out", engine=some)
    assert nothing.count == 0
    assert 0 < some.count <= 2 < everything.count
    assert "The 7th note says otherwise." in set(kept(tmp_path / "out")["text"])
    prepare(sources(folder), STEPS, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_other_settings_leave_nothing_of_the_earlier_ones(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "docs")
    prepare(sources(folder), STEPS, tmp_path / "out")
    prepare(sources(folder), [Normalize()], tmp_path / "out")
    prepare(sources(folder), [Normalize()], tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
    assert [path.name for path in (tmp_path / "out" / "work").iterdir()] == ["phase-0"]


def test_earlier_sources_win(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("The same words in two places.", encoding="utf-8")
    (tmp_path / "a.txt").write_text("the same words  in two places.", encoding="utf-8")
    named = [DocumentSource(name=name, paths=[f"{name}.txt"]) for name in ("b", "a")]
    prepare(named, [ExactDuplicates()], tmp_path / "out", folder=tmp_path)
    assert kept(tmp_path / "out")["source"].to_list() == ["b"]
    assert removed(tmp_path / "out")["source"].to_list() == ["a"]


def test_nothing_left_is_an_error_that_names_the_step(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "docs")
    with pytest.raises(DataError, match=r"min_characters: 14 -> 0 documents"):
        prepare(sources(folder), [MinCharacters(characters=10_000)], tmp_path / "out")
    with pytest.raises(DataError, match="no document is left before exact_duplicates"):
        prepare(sources(folder), [MinCharacters(characters=10_000), ExactDuplicates()], tmp_path / "out")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ([("a", "missing")], "missing"),
        ([("a", "docs"), ("a", "docs")], "two sources are called 'a'"),
        ([("a", "docs/image.txt")], "not UTF-8"),
    ],
)
def test_what_is_named_has_to_be_readable(tmp_path: Path, named: list[tuple[str, str]], message: str) -> None:
    write_folder(tmp_path / "docs")
    with pytest.raises(DataError, match=message):
        prepare(
            [DocumentSource(name=name, paths=[path]) for name, path in named], STEPS, tmp_path / "out", folder=tmp_path
        )
