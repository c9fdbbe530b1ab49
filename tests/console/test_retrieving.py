"""`burnish index` and `burnish search`: what they say, keep and refuse."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from burnish.console import retrieving as module
from burnish.console.retrieving import IndexOptions, make_index, show_hits
from burnish.errors import BurnishError
from tiny_encoder import save_encoder


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "leave.md").write_text("# Leave\n\nEveryone has thirty days of leave.\n")
    (folder / "lunch.md").write_text("# Lunch\n\nLunch is at noon.\n")
    return folder


def searched(index: Path, *queries: str, **options: object) -> str:
    console = Console(file=io.StringIO(), width=100)
    show_hits(index, queries, console, k=2, **options)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_indexed_kept_and_gone_is_said(
    docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "default_encoder", lambda: None)
    make_index([docs], tmp_path / "index", IndexOptions(size=32, overlap=0))
    said = " ".join(capsys.readouterr().out.split())
    assert "BM25 alone: no encoder is named" in said
    assert "2 passages of 2 documents by BM25" in said
    (docs / "lunch.md").unlink()
    (docs / "plan.png").write_bytes(b"\x89PNG")
    index = make_index([docs], tmp_path / "index", IndexOptions())
    said = " ".join(capsys.readouterr().out.split())
    assert "1 .png file: plan.png" in said
    assert "0 documents are new, 1 as before, 1 gone" in said
    assert (index.settings.size, index.settings.overlap) == (32, 0), "those of the index that was there"


def test_an_encoder_is_kept_until_it_is_left_out(docs: Path, tmp_path: Path) -> None:
    encoder = str(save_encoder(tmp_path / "encoder"))
    index = make_index([docs], tmp_path / "index", IndexOptions(encoder=encoder))
    assert index.encoder is not None
    assert make_index([docs], tmp_path / "index", IndexOptions()).encoder == index.encoder
    assert make_index([docs], tmp_path / "index", IndexOptions(encoder="none")).encoder is None
    with pytest.raises(BurnishError, match="there is no such folder; expected that of an encoder"):
        make_index([docs], tmp_path / "index", IndexOptions(encoder=str(tmp_path / "none")))


def test_a_damaged_index_is_made_anew(docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_index([docs], tmp_path / "index", IndexOptions(encoder="none"))
    (tmp_path / "index" / "terms.safetensors").write_bytes(b"")
    make_index([docs], tmp_path / "index", IndexOptions(encoder="none"))
    assert "it is made anew" in capsys.readouterr().out
    assert "leave.md, Leave" in searched(tmp_path / "index", "leave")


def test_wrong_settings_are_named(docs: Path, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="overlap: got 90; expected at most half of size"):
        make_index([docs], tmp_path / "index", IndexOptions(size=64, overlap=90))
    with pytest.raises(BurnishError, match="language: got 'klingon'"):
        make_index([docs], tmp_path / "index", IndexOptions(language="klingon", encoder="none"))
    assert not (tmp_path / "index").exists()


def test_passages_are_shown_with_their_place_or_as_json(
    docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (docs / "leave.md").write_text("# Leave\n\nThirty days \x1b[31m of leave" + " and more" * 80 + ".\n")
    make_index([docs], tmp_path / "index", IndexOptions(encoder="none"))
    shown = searched(tmp_path / "index", "leave?", "zebra")
    assert "[1] leave.md, Leave" in shown
    assert "\x1b" not in shown, "what documents hold cannot steer the terminal"
    assert "…" in shown
    assert "nothing in the index has a word of it" in shown
    capsys.readouterr()
    searched(tmp_path / "index", "leave?", as_json=True)
    row = json.loads(capsys.readouterr().out)
    assert (row["query"], row["document"], row["heading"]) == ("leave?", "leave.md", "Leave")
    assert row["text"].endswith("and more.")
