"""The page of a preparation."""

import json
from pathlib import Path

import pytest

from burnish.corpus.preparation.pipeline import prepare
from burnish.corpus.preparation.sources import DocumentSource
from burnish.corpus.preparation.statistics import TokenCounter
from burnish.corpus.preparation.steps.anonymize import Anonymize
from burnish.corpus.preparation.steps.basic import ExactDuplicates, MinCharacters, Normalize
from burnish.corpus.preparation.steps.step import PreparationStep
from burnish.errors import DataError
from burnish.report.data_page import about, shares, write_data_page


def prepared(tmp_path: Path, *steps: PreparationStep) -> str:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(4):
        (folder / f"note-{number}.md").write_text(f"Note <b>{number // 2}</b> of many.  \nIt ends.", encoding="utf-8")
    (folder / "short.md").write_text("Hm.", encoding="utf-8")
    (folder / "mail.md").write_text("Please write to ann@example.org about it.", encoding="utf-8")
    (folder / "photo.png").write_bytes(b"\x89PNG")
    tokens = TokenCounter("tiny", lambda texts: [len(text) // 4 for text in texts])
    sources = [DocumentSource(name="notes", paths=[str(folder)])]
    prepare(sources, steps, tmp_path / "out", tokens=tokens)
    return write_data_page(tmp_path / "out", "notes").read_text(encoding="utf-8")


def test_the_page_has_what_each_step_did(tmp_path: Path) -> None:
    page = prepared(tmp_path, Normalize(), ExactDuplicates(), MinCharacters(characters=5))
    for said in (
        "6 documents read, 3 documents kept",
        "1 like it removed",
        "exact duplicates: 2 removed",
        "too short: 3 characters",
        "Note &lt;b&gt;0&lt;/b&gt; of many.",
        "photo.png",
        "Tokens are those of tiny: 4.",
        "clusters/0-exact_duplicates.parquet",
        "up to 64",
    ):
        assert said in page
    assert "<b>" not in page
    assert "<script" not in page


def test_the_page_shows_no_secret(tmp_path: Path) -> None:
    pytest.importorskip("phonenumbers")
    page = prepared(tmp_path, MinCharacters(characters=5), Anonymize(kinds=["email"]))
    assert "What was anonymized" in page
    assert "&lt;EMAIL_1&gt;" in page
    assert "ann@example.org" not in page
    assert "Hm." not in page  # removed before the step that takes secrets out


def test_rarer_ones_are_counted_together() -> None:
    counts = {f"s{number}": 20 - number for number in range(15)}
    rows = list(shares(counts, {"s0": 40, "gone": 3}))
    assert [row.name for row in rows[:2]] == ["s0", "s1"]
    assert (rows[0].before, rows[0].after, rows[0].share) == (40, 20, 0.5)
    assert (rows[-1].name, rows[-1].after, rows[-1].before) == ("4 others", 8 + 7 + 6, 3)


def test_sizes_have_two_digits() -> None:
    assert [about(one) for one in (0, 7.3, 99.6, 1234, 1_250_000, 3.4e9)] == [
        "0",
        "7.3",
        "100",
        "1.2 k",
        "1.2 M",
        "3.4 G",
    ]


@pytest.mark.parametrize("content", [None, "[]", "{}", json.dumps({"steps": []}), "{"])
def test_what_is_no_record_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "preparation.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"preparation.json: it is no record of a preparation"):
        write_data_page(tmp_path, "x")
