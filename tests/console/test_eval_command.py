"""`burnish eval`: of a run by its own stage, of a model on published files as they are, and what it says it lacks."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from burnish import cli
from burnish.console.display import Display
from burnish.console.evaluating import EvalOptions, _columns, evaluation_recipe
from burnish.recipes.runner.running import run
from workshop import RECIPE, SAME_BITS, make_workshop

SHORT = (
    "name: numbers"
    + SAME_BITS
    + RECIPE[RECIPE.index("keep: all") : RECIPE.index("  - type: corpus")]
    + """  - type: evaluate
    tasks: "@prepare/test.jsonl"
    models: {base: base, final: model}
    judges: *judges
    metric: execution_accuracy
    groups: split
    report: {unseen: {model: final, group: unseen}}
    system: "@prepare/system.txt"
    max_new_tokens: 4
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `runs/numbers` is a finished run that began with `model`."""
    recipe = make_workshop(tmp_path_factory.mktemp("eval"), SHORT)
    run(recipe, runs=recipe.parent / "runs", display=Display(quiet=True))
    return recipe.parent


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `burnish eval ARGUMENTS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["burnish", "eval", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "1")
        status: str | int | None = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
    captured = capsys.readouterr()
    return int(status or 0), captured.out, captured.err


def test_a_run_is_measured_on_its_own_tasks(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        *(folder / "runs/numbers", "--samples", 4, "--k", "1,4", "--limit", 3, "--against", "base"),
        *("--runs", tmp_path, "--threads", 1),
    )
    status, out, err = call(capsys, *options)
    assert status == 0, err
    for shown in ("pass@1", "pass@4", "cons@4", "execution accuracy", "base to final: +0.0"):
        assert shown in out
    results = json.loads((tmp_path / "eval-numbers/01-evaluate/results.json").read_text())
    assert results["tasks"] == 3
    assert list(results["scores"]) == ["base", "final"]
    assert set(results["scores"]["final"]["groups"]) == {"seen", "unseen"}
    first = json.loads((tmp_path / "eval-numbers/01-evaluate/answers-final.jsonl").read_text().splitlines()[0])
    assert first["prompt"][0] == {"role": "system", "content": "Answer in SQL."}
    status, again, _ = call(capsys, *options, "--json")
    assert json.loads(again) == results


def test_published_files_are_read_as_they_are(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = tmp_path / "gsm8k.jsonl"
    tasks.write_text(json.dumps({"question": "1 + 1?", "answer": "1 + 1 = <<1+1=2>>2\n#### 2"}) + "\n")
    told = ("--judge", "numbers", "--samples", 2, "--max-new-tokens", 2, "--runs", tmp_path / "runs")
    status, out, err = call(capsys, folder / "model", "--tasks", tasks, *told, "--plain", "--threads", 1)
    assert status == 0, err
    assert "prompts are read from 'question'" in out
    assert "pass@2" in out
    assert (tmp_path / "runs/eval-model-gsm8k/report.html").is_file()


def test_a_run_whose_stage_answers_once_is_sampled_eight_times(folder: Path) -> None:
    recipe, said = evaluation_recipe(folder / "runs/numbers", EvalOptions())
    (stage,) = recipe["stages"]
    assert stage["samples"] == 8
    assert stage["tasks"] == str(folder / "runs/numbers/01-prepare/test.jsonl")
    assert stage["judges"][0]["database"] == str(folder / "runs/numbers/01-prepare/numbers.duckdb")
    assert stage["models"] == {"final": "base"}
    assert said == [f"tasks, judges and prompts are those of {folder / 'runs/numbers/02-evaluate'}"]


@pytest.mark.parametrize(("system", "roles"), [("", ["user"]), ("Be brief.", ["system", "user"])])
def test_a_system_prompt_on_the_command_line_takes_the_place_of_the_runs(
    system: str, roles: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "few.jsonl").write_text('{"prompt": "1 mod 3?", "sql": "SELECT 1", "split": "seen"}\n')
    few = ("--tasks", tmp_path / "few.jsonl", "--samples", 1, "--max-new-tokens", 1, "--threads", 1, "--runs", tmp_path)
    status, _, err = call(capsys, folder / "runs/numbers", *few, "--system", system)
    assert status == 0, err
    asked = json.loads((tmp_path / "eval-numbers-few/01-evaluate/answers-final.jsonl").read_text())["prompt"]
    assert [turn["role"] for turn in asked] == roles
    assert system in asked[0]["content"]


@pytest.mark.parametrize(("said", "served"), [([], "Answer in SQL."), ([""], None), (["Be brief."], "Be brief.")])
def test_a_server_takes_an_empty_system_prompt_as_none(
    said: list[str], served: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []
    monkeypatch.setattr("burnish.serving.api.server.serve", lambda *things: found.extend(things))
    run = folder / "runs/numbers"
    options = ["--system", *said] if said else []
    arguments = ["burnish", "serve", str(run), "--version", f"b={run}", "--threads", "1", *options]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit):
        cli.main()
    first, *_, versions = found
    assert [one.settings.system for one in (first, *versions)] == [served] * 2


GIVEN = ("--tasks", "rows.jsonl", "--judge", "numbers")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "a model alone does not tell what to measure it on; say --tasks FILE"),
        (GIVEN[:2], "say --judge numbers, or --judge '{type: sql, ...}'"),
        ((*GIVEN[:3], "[1"), "--judge [1: not YAML"),
        ((*GIVEN, "--grid", "heat=1"), "--grid heat=1: expected KEY=VALUE"),
        ((*GIVEN, "--k", "1;2"), "--k 1;2: expected numbers"),
        ((*GIVEN, "--k", "9"), "got 9, and there are samples: 8"),
        ((*GIVEN, "--against", "nowhere"), "nowhere: no such file or folder"),
    ],
)
def test_what_it_lacks_is_said(
    folder: Path,
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"prompt": "1 + 1?", "answer": 2}\n')
    status, _, err = call(capsys, folder / "model", *options)
    assert status == 1
    assert message in err


def test_every_row_of_gsm8k_and_humaneval_has_what_its_judge_reads(shared_data: Path) -> None:
    from burnish.datasets.rows import read_tasks
    from burnish.rewards.numbers import NumberVerifier
    from burnish.rewards.programs.unit_tests import read_tests

    for name, read in (("gsm8k_test.jsonl", NumberVerifier().gold), ("HumanEval.jsonl.gz", read_tests)):
        columns, _ = _columns(shared_data / name)
        tasks = read_tasks([shared_data / name], columns=columns)
        assert len(tasks) in (164, 1000)
        assert all(read(task.row) is not None for task in tasks)
