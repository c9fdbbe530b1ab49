"""`burnish data prepare`."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from burnish.cli import app


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", "prepare", *arguments])
    return result.exit_code, result.output + str(result.exception or "")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("one", "two", "three"):
        (folder / f"{name}.md").write_text(f"# {name}\n\n" + f"What is to be said about {name}. " * 3, encoding="utf-8")
    (folder / "page.png").write_bytes(b"\x89PNG")
    return folder


def test_documents_named_on_the_command_line(documents: Path, tmp_path: Path) -> None:
    code, output = run(str(documents), "--output", str(tmp_path / "out"))
    assert code == 0, output
    assert "not read: 1 .png file: page.png" in output
    assert "exact_duplicates" in output
    assert len(pl.read_parquet(tmp_path / "out" / "documents" / "*.parquet")) == 3
    record = json.loads((tmp_path / "out" / "preparation.json").read_text(encoding="utf-8"))
    assert [one["documents_out"] for one in record["steps"]] == [3, 3, 3, 3]


def test_settings_in_a_file_name_paths_beside_it(documents: Path, tmp_path: Path) -> None:
    settings = tmp_path / "preparation.yaml"
    settings.write_text(
        "sources: [{name: notes, paths: [docs/*.md], licence: MIT}]\n"
        "steps: [{type: min_characters, characters: 105}]\n",
        encoding="utf-8",
    )
    code, output = run(str(settings), "--output", str(tmp_path / "out"))
    assert code == 0, output
    table = pl.read_parquet(tmp_path / "out" / "documents" / "*.parquet")
    assert table["id"].len() == 1
    assert table.select("source", "origin", "licence").rows() == [("notes", "three.md", "MIT")]
    assert "2 too short" in output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("sources: [{paths: [docs]}]\nsteps: [{type: normalise}]", ":2: steps[0].type: got 'normalise'; did you mean"),
        ("sources: [{paths: [docs]}]\nsteps: [{type: min_characters, character: 3}]", "did you mean 'characters'?"),
        ("sources: [{path: [docs]}]", "sources[0].path"),
        ("steps: []", "missing key 'sources'"),
        ("sources: [{paths: [missing]}]", "missing"),
    ],
)
def test_wrong_settings_are_named_with_their_line(documents: Path, tmp_path: Path, settings: str, message: str) -> None:
    (tmp_path / "wrong.yaml").write_text(settings, encoding="utf-8")
    code, output = run(str(tmp_path / "wrong.yaml"), "--output", str(tmp_path / "out"))
    assert code != 0
    assert message in output
    assert not (tmp_path / "out" / "documents").exists()
