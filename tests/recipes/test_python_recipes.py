"""A recipe as Python values, a dry run as a value, and `python -m burnish`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import burnish
from burnish import cli
from burnish.console.display import Display
from burnish.errors import RecipeError
from burnish.recipes.plan.planned import make_plan
from workshop import RECIPE, make_workshop


def test_a_dict_is_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_workshop(tmp_path)
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = {
        "name": "values",
        "model": Path("model"),
        "threads": 1,
        "compute_dtype": "float32",
        "stages": ({"type": "export", "gguf": ("F16",)},),
    }
    found = burnish.run(values, runs=tmp_path / "runs", dry_run=True)
    assert [(stage["name"], stage["state"], stage["reason"]) for stage in found["stages"]] == [
        ("export", "run", "not run yet")
    ]
    assert not (tmp_path / "runs").exists()
    summary = burnish.run(values, runs=tmp_path / "runs", display=Display(quiet=True))
    assert summary["name"] == "values"
    assert (tmp_path / "runs" / "values" / "01-export" / "values-F16.gguf").exists()
    assert burnish.run(values, runs=tmp_path / "runs", dry_run=True)["stages"][0]["state"] == "cached"


def test_a_dict_has_the_keys_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = make_workshop(tmp_path)
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load(RECIPE.replace("5e-3", "0.005").replace("1e-4", "0.0001"))
    keys = [[stage.key for stage in make_plan(one, runs=Path("runs")).stages] for one in (recipe, values)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"sed": 1}, r"^the recipe: sed: unknown key; did you mean 'seed'"),
        ({"seed": {1, 2}}, r"^the recipe: seed: got \{1, 2\}"),
        ({"stages": [{"type": "sft", "data": b"x"}]}, r"^the recipe: stages\[0\]\.data: got b'x'"),
        ({3: 1}, "keys are texts"),
        ({"model": "nowhere"}, r"^the recipe: model: got 'nowhere'; no such file"),
    ],
)
def test_problems_name_the_key(changed: dict[Any, Any], problem: str, tmp_path: Path) -> None:
    values = {"name": "x", "model": str(tmp_path), "stages": [{"type": "export"}], **changed}
    with pytest.raises(RecipeError, match=problem):
        burnish.run(values, dry_run=True)


def test_values_that_hold_themselves(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(RecipeError, match="nested"):
        burnish.run({"name": "x", "model": str(tmp_path), "stages": endless})


def test_a_dry_run_is_a_value(tmp_path: Path) -> None:
    found = burnish.run(make_workshop(tmp_path), runs=tmp_path / "runs", dry_run=True)
    assert found["asks"] == [f"runs    {tmp_path}/prepare.py, which uses duckdb (stage prepare)"]
    assert found["unchecked"][0].startswith("corpus: @prepare/documents.jsonl")


def test_python_dash_m() -> None:
    done = subprocess.run([sys.executable, "-m", "burnish", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"burnish {cli.__version__}\n"


@pytest.mark.parametrize("command", [[], ["run"], ["data"], ["data", "check"], ["lab", "kl"], ["init"]])
def test_dash_h_works_everywhere(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["burnish", *command, "-h"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == 0
    assert "Usage" in capsys.readouterr().out
