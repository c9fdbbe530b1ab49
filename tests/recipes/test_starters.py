"""`burnish init`: both starters run as they are, take one's own files, and overwrite nothing."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import yaml

import burnish
from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import check, run
from burnish.recipes.starters import StarterAnswers, Template, create
from burnish.recipes.starters.database import read_schema
from workshop import tiny_tokenizer

SMALL = ["device=cpu", "compute_dtype=float32", "threads=1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model that reads as much as the starters' prompts hold."""
    tokenizer = replace(tiny_tokenizer(), context_length=2048)
    decoder = Decoder(
        DecoderConfig(
            vocab_size=tokenizer.vocab_size, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, d_ff=32,
            max_positions=2048,
        )
    )  # fmt: skip
    decoder.initialize(seed=0)
    folder = tmp_path_factory.mktemp("model") / "model"
    burnish.save(decoder, tokenizer, folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "overrides"),
    [
        ("documents", ["compare.max_new_tokens=8", "sft.training.epochs=1"]),
        ("database", ["evaluate.max_new_tokens=8", "sft.training.epochs=1"]),
    ],
)
def test_a_starter_runs_as_it_is(template: Template, overrides: list[str], model: str, tmp_path: Path) -> None:
    files = create(tmp_path / "my project", template, StarterAnswers(model=model))
    assert all(file.is_file() for file in files)
    runs = tmp_path / "runs"
    check(make_plan(files[0], runs=runs))
    summary = run(files[0], overrides=[*SMALL, *overrides], runs=runs, display=Display(quiet=True))
    assert summary["name"] == "my-project"
    assert (runs / "my-project" / "report.html").exists()
    recipe = files[0].read_text()
    assert "{{" not in recipe
    assert recipe.count("system:") == 1, "the system prompt is written once"
    system = yaml.safe_load(recipe)["system"]
    sampled = "05-compare/samples-after.jsonl" if template == "documents" else "02-evaluate/answers-final.jsonl"
    for line in (runs / "my-project" / sampled).read_text().splitlines():
        assert json.loads(line)["prompt"][0] == {"role": "system", "content": system}


def test_what_is_commented_out_runs_too(model: str, tmp_path: Path) -> None:
    recipe = create(tmp_path / "db", "database", StarterAnswers(model=model))[0]
    recipe.write_text(recipe.read_text().replace("  # - type", "  - type").replace("  #   ", "    "))
    assert [stage.name for stage in make_plan(recipe).stages] == ["sft", "sample", "dpo", "evaluate", "export"]


def test_ones_own_documents_and_model(model: str, tmp_path: Path) -> None:
    docs = tmp_path / "our docs: a #1"
    docs.mkdir()
    (docs / "a.md").write_text("# Text\n\nSome text. " * 20)
    recipe = create(tmp_path / "x", "documents", StarterAnswers(docs=docs, model=model))[0]
    values = yaml.safe_load(recipe.read_text())
    assert values["stages"][0]["sources"] == [{"paths": [str(docs)]}]
    assert values["model"] == model
    assert not (tmp_path / "x" / "handbook").exists()
    check(make_plan(recipe, runs=tmp_path / "runs"))
    inside = create(tmp_path, "documents", StarterAnswers(docs=docs, model=model))[0]
    sources = yaml.safe_load(inside.read_text())["stages"][0]["sources"]
    assert sources == [{"paths": [docs.name]}], "relative inside of the folder"


def test_ones_own_database_with_names_that_need_quotes(model: str, tmp_path: Path) -> None:
    file = tmp_path / "own.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute('CREATE TABLE "order" ("select" INTEGER, "Straße nr." VARCHAR, plain DATE)')
        connection.execute("""INSERT INTO "order" VALUES (1, 'a', '2026-01-01')""")
        connection.execute('CREATE VIEW "a""b" AS SELECT plain FROM "order"')
    recipe = create(tmp_path / "x", "database", StarterAnswers(database=file, model=model))[0]
    assert '"order"("select" INTEGER, "Straße nr." VARCHAR, plain DATE)' in yaml.safe_load(recipe.read_text())["system"]
    check(make_plan(recipe, runs=tmp_path / "runs"))  # runs every gold query


def test_a_sqlite_database(model: str, tmp_path: Path) -> None:
    file = tmp_path / "own.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
    connection.close()
    assert [(table.name, table.columns) for table in read_schema(file)] == [
        ("people", (("id", "INTEGER"), ("name", "TEXT")))
    ]
    recipe = create(tmp_path / "x", "database", StarterAnswers(database=file, model=model))[0]
    assert "people(id INTEGER, name TEXT)" in recipe.read_text()


def test_nothing_is_overwritten_unless_forced(model: str, tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("mine")
    with pytest.raises(BurnishError, match=r"questions\.jsonl is there already.*--force"):
        create(tmp_path, "documents", StarterAnswers(model=model))
    assert [file.name for file in tmp_path.iterdir()] == ["questions.jsonl"]
    create(tmp_path, "documents", StarterAnswers(model=model), force=True)
    assert (tmp_path / "questions.jsonl").read_text() != "mine"


@pytest.mark.parametrize(
    ("template", "answers", "problem"),
    [
        ("documents", StarterAnswers(docs=Path("nowhere")), "--docs: nowhere does not exist"),
        ("database", StarterAnswers(database=Path("nowhere")), "--database: nowhere does not exist"),
        ("database", StarterAnswers(database=Path(__file__)), "neither a DuckDB nor a SQLite database"),
        ("documents", StarterAnswers(model="no-such-model"), "--model: no-such-model does not exist"),
        ("documents", StarterAnswers(model="/dev/zero"), "/dev/zero: is a device"),
        ("documents", StarterAnswers(docs=Path("/dev/zero")), "/dev/zero: is a device"),
        ("documents", StarterAnswers(database=Path(__file__)), "--database: a documents starter has no database"),
        ("database", StarterAnswers(docs=Path(__file__).parent), "--docs: a database starter reads no documents"),
    ],
)
def test_paths_that_lead_nowhere(
    template: Template, answers: StarterAnswers, problem: str, model: str, tmp_path: Path
) -> None:
    with pytest.raises(BurnishError, match=problem):
        create(tmp_path / "x", template, answers if answers.model else replace(answers, model=model))
    assert not (tmp_path / "x").exists()


PROGRAM = "import sys; from burnish.cli import main; sys.argv = ['burnish', *sys.argv[1:]]; main()"


def test_without_a_terminal_the_template_must_be_said(tmp_path: Path, model: str) -> None:
    def init(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, "init", str(tmp_path / "x"), "--model", model, *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert "--template" in init().stderr
    done = init("--template", "documents")
    assert done.returncode == 0, done.stderr
    assert f"burnish run {tmp_path}/x/recipe.yaml" in done.stdout


def test_a_terminal_is_asked(tmp_path: Path, model: str) -> None:
    docs = tmp_path / "pages"
    docs.mkdir()
    (docs / "a.md").write_text("text")
    parent, child = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, "init", str(tmp_path / "x"), "--model", model]
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child)
    os.close(child)
    os.write(parent, f"nonsense\ndoc\n{docs}\n".encode())
    shown = b""
    while True:
        try:
            chunk = os.read(parent, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(parent)
    assert process.wait(60) == 0, shown.decode()
    assert yaml.safe_load((tmp_path / "x" / "recipe.yaml").read_text())["stages"][0]["sources"] == [
        {"paths": [str(docs)]}
    ]


def test_a_folder_whose_name_no_file_can_have(model: str, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match=r"cannot write .*File name too long"):
        create(tmp_path / ("x" * 5000), "documents", StarterAnswers(model=model))
