"""A wrong recipe is answered before PyTorch is imported, which takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from burnish.errors import BurnishError
from burnish.runs.lock import run_lock

# Importing it fails, as does everything that needs it.
PROGRAM = """
import sys
sys.modules["torch"] = None
from burnish.cli import main
sys.argv = ["burnish", *sys.argv[1:]]
main()
"""
RECIPE = """\
name: quick
model: model.gguf
stages:
  - type: sft
    data: rows.jsonl
"""


@pytest.mark.parametrize(
    "command", ["run", *(pytest.param(command, marks=pytest.mark.slow) for command in ("plan", "run --dry-run"))]
)
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("data:", "dta:", "recipe.yaml:5: stages[0].dta: unknown key; did you mean 'data'?"),
        ("sft", "sfd", "recipe.yaml:4: stages[0].type: "),
        ("quick", "[quick", "recipe.yaml:2"),
        ("rows.jsonl", '"@nowhere"', "recipe.yaml:5: stages[0].data: "),
        ("model.gguf", "gone.gguf", "recipe.yaml:2: model: "),
        ("rows.jsonl", "gone.jsonl", "recipe.yaml:5: stages[0].data: "),
    ],
)
def test_a_wrong_recipe_is_answered_before_pytorch_is_imported(
    tmp_path: Path, command: str, old: str, new: str, expected: str
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"")
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace(old, new))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command.split(), "recipe.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert expected in done.stderr


def test_a_folder_of_runs_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with (
        pytest.raises(BurnishError, match=r"cannot make the folder .*runs/numbers: Not a directory; choose a place"),
        run_lock(tmp_path / "runs" / "numbers"),
    ):
        pass
