"""The documentation is true: its commands exist, its code runs, its rows and recipes are accepted."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from burnish.cli import app
from burnish.console.preparation import read_settings
from burnish.corpus.documents import read_documents
from burnish.datasets.rows import (
    read_conversations,
    read_labelled,
    read_preferences,
    read_rankings,
    read_stepwise,
    read_tasks,
)
from burnish.recipes.plan.plan import Plan
from burnish.recipes.plan.planned import make_plan

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

READERS = {
    "Documents": read_documents,
    "Conversations": read_conversations,
    "Preferences": read_preferences,
    "Ranked lists": read_rankings,
    "Labelled answers": read_labelled,
    "Steps": read_stepwise,
    "Tasks": read_tasks,
}


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Name and content of every fenced block in one language."""
    for page in PAGES:
        for number, match in enumerate(FENCE.finditer(page.read_text(encoding="utf-8")), start=1):
            if match[1] == language:
                yield f"{page.name}, block {number}", match[2]


SLOW = ("methods.md, block 1", "methods.md, block 2", "python.md, block 1", "python.md, block 3", "python.md, block 4")
"""Examples that train the real model."""


IN_ONE_PROCESS = """
import json, os, sys, traceback

wrong = {}
for number, (name, code) in enumerate(json.load(sys.stdin)):
    os.makedirs(str(number))
    os.chdir(str(number))
    try:
        exec(compile(code, name, "exec"), {"__name__": "__main__"})
    except BaseException:
        wrong[name] = traceback.format_exc()
    os.chdir("..")
with open("wrong.json", "w") as file:
    json.dump(wrong, file)
"""
"""Runs examples one after the other: what they import is imported once."""


def parameters(language: str) -> list[object]:
    return [pytest.param(content, id=name) for name, content in blocks(language)]


def commands() -> list[str]:
    """Every command line shown, without its comment."""
    lines = (line.partition("#")[0].strip() for _, content in blocks("sh") for line in content.splitlines())
    return sorted({line for line in lines if line})


def test_there_is_something_to_check() -> None:
    assert {language for language in ("sh", "python", "json", "yaml") if list(blocks(language))} == {
        "sh",
        "python",
        "json",
        "yaml",
    }


@pytest.mark.parametrize("command", commands())
def test_commands_exist(command: str) -> None:
    program, name, *rest = command.split()
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {name, *rest} <= set(targets)
        return
    assert program == "burnish", f"nothing checks {command!r}"
    names = [name, rest[0]] if name in ("data", "flywheel", "lab") else [name]  # groups of commands
    done = CliRunner().invoke(app, [*names, "--help"])
    assert done.exit_code == 0, done.output
    for option in (word for word in rest if word.startswith("--")):
        assert option in done.output


def test_python_examples_run(tmp_path: Path) -> None:
    quick = [(name, code) for name, code in blocks("python") if name not in SLOW]
    command = [sys.executable, "-c", IN_ONE_PROCESS]
    done = subprocess.run(command, input=json.dumps(quick), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    wrong = json.loads((tmp_path / "wrong.json").read_text())
    assert not wrong, "\n".join(f"{name}\n{trace}" for name, trace in wrong.items())


@pytest.mark.slow
@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks("python") if name in SLOW])
def test_python_examples_that_train_run(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("call", "most"), [("dpo.train(", 15), ("grpo.train(", 20)])
def test_a_method_is_shown_in_few_lines(call: str, most: int) -> None:
    (code,) = (content for name, content in blocks("python") if name.startswith("methods.md") and call in content)
    assert len([line for line in code.splitlines() if line.strip()]) <= most


def test_rows_are_read_as_what_their_section_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "data-files.md").read_text(encoding="utf-8")
    seen = set()
    for section in page.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        for number, row in enumerate(row for language, row in FENCE.findall(text) if language == "json"):
            file = tmp_path / f"{title.replace(' ', '-')}-{number}.jsonl"
            file.write_text(row, encoding="utf-8")
            assert len(READERS[title](file)) == 1, row
            seen.add(title)
    assert seen == set(READERS)


def plan_of(recipe: str, folder: Path, overrides: Iterable[str] = ()) -> Plan:
    """The plan of a recipe in a folder that has the files which the pages speak of."""
    for name in (
        "data/general.jsonl",
        "data/train.jsonl",
        "data/test.jsonl",
        "data/pairs.jsonl",
        "data/answers.jsonl",
        "data/traces.jsonl",
        "data/tools.py",
        "data/handbook/leave.md",
        "data/wiki/start.md",
        "data/gsm8k_test.jsonl",
        "data/mmlu/test/algebra_test.csv",
        "data/cmmlu/test/arts.csv",
        "data/company.duckdb",
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}\n")
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return make_plan(folder / "recipe.yaml", overrides=overrides, runs=folder / "runs")


@pytest.mark.parametrize("recipe", parameters("yaml"))
@pytest.mark.usefixtures("smollm2_path")
def test_recipes_are_accepted(recipe: str, tmp_path: Path) -> None:
    if recipe.startswith("sources:"):  # the settings of `burnish data prepare`
        (tmp_path / "settings.yaml").write_text(recipe, encoding="utf-8")
        assert read_settings([tmp_path / "settings.yaml"])[0].steps
    else:
        assert plan_of(recipe, tmp_path).stages


@pytest.mark.usefixtures("smollm2_path")
def test_the_page_on_recipes_speaks_of_its_own_recipe(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    (recipe,) = (content for name, content in blocks("yaml") if name.startswith("recipes.md"))
    overrides = re.findall(r"^burnish run recipe.yaml --set (\S+)", page, re.MULTILINE)
    assert overrides
    plan = plan_of(recipe, tmp_path, overrides)
    assert set(re.findall(r"\b\d\d-[a-z]\w*", page)) <= {stage.folder.name for stage in plan.stages}
    assert f"runs/{plan.recipe.name}/" in page


def test_the_recipe_reference_is_that_of_the_schema() -> None:
    program = "import recipe_reference; print(recipe_reference.page(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT / "scripts", check=True
    )
    written = (ROOT / "docs" / "recipe-reference.md").read_text(encoding="utf-8")
    assert written == done.stdout, "the schema changed: run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    """Zensical checks the site; this checks what is read on a code host, README included."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
