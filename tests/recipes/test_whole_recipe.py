"""A whole recipe in small: without a socket, found in the cache, rerun where it changed, and only there."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.console.display import Display
from burnish.errors import BurnishError, DataError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import preview, run
from burnish.runs.lock import run_lock
from workshop import make_workshop

FORBID_SOCKETS = """
import socket

class Forbidden(socket.socket):
    def __init__(self, *arguments, **options):
        raise RuntimeError("a socket was opened")

socket.socket = socket.SocketType = Forbidden
socket.socketpair = socket.create_connection = Forbidden
"""

STAGES = ["prepare", "corpus", "cpt", "sft", "sample", "dpo", "evaluate", "export"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A run from nothing, with sockets forbidden in this process and in those it starts; recipe and summary."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = make_workshop(folder / "workshop")
    (folder / "forbid").mkdir()
    (folder / "forbid" / "sitecustomize.py").write_text(FORBID_SOCKETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder / "forbid"))
        patch.setattr(socket, "socket", forbidden)
        patch.setattr(socket, "socketpair", forbidden)
        summary = run(recipe, runs=recipe.parent / "runs", display=Display(quiet=True))
    return recipe, summary


def forbidden(*_arguments: object, **_options: object) -> None:
    raise RuntimeError("a socket was opened")


@pytest.fixture
def copied(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed; the recipe's file."""
    shutil.copytree(finished[0].parent, tmp_path / "workshop")
    return tmp_path / "workshop" / "recipe.yaml"


def again(recipe: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    return run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=Display(quiet=True), **options)


def ran(summary: dict[str, Any]) -> list[str]:
    return [stage["name"] for stage in summary["stages"] if not stage["cached"]]


def test_children_are_forbidden_sockets_too(finished: tuple[Path, dict[str, Any]]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(finished[0].parents[1] / "forbid")}
    call = [sys.executable, "-c", "import socket; socket.socket()"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert "a socket was opened" in done.stderr


def test_the_summary_says_what_came_out(finished: tuple[Path, dict[str, Any]]) -> None:
    recipe, summary = finished
    run_folder = recipe.parent / "runs" / "numbers"
    assert json.loads((run_folder / "summary.json").read_text()) == summary
    assert list(summary["execution_accuracy"]) == ["base", "sft", "final", "final_unseen_intents"]
    assert summary["execution_accuracy"]["sft"] > summary["execution_accuracy"]["base"]
    for group in ("domain", "general"):
        assert summary["perplexity"][group]["after"] < summary["perplexity"][group]["before"]
        assert list(summary["perplexity_by_model"][group]) == ["base", "sft", "final"]
    assert summary["pairs"] > 0
    assert summary["wall_seconds"] == pytest.approx(sum(stage["seconds"] for stage in summary["stages"]), abs=0.1)
    assert 0.05 < summary["peak_rss_gib"] < 4
    assert ran(summary) == STAGES


def test_every_stage_leaves_its_record_and_nothing_unfinished(finished: tuple[Path, dict[str, Any]]) -> None:
    run_folder = finished[0].parent / "runs" / "numbers"
    for number, name in enumerate(STAGES, start=1):
        folder = run_folder / f"{number:02}-{name}"
        record = json.loads((folder / "stage.json").read_text())
        assert record["name"] == record["type"] == name
        assert {"configuration", "inputs", "versions", "seed", "wall_seconds", "peak_rss_gib", "metrics"} <= set(record)
        assert not (folder / "running.json").exists()
        assert not (folder / "partial").exists()
        assert not (folder / "state.safetensors").exists()
    assert not list(run_folder.glob(".01-prepare-*"))
    for name in ("03-cpt", "04-sft", "06-dpo"):
        assert (run_folder / name / "events.jsonl").stat().st_size > 0
    assert "<html" in (run_folder / "report.html").read_text()


def test_preference_pairs_are_right_against_wrong(finished: tuple[Path, dict[str, Any]]) -> None:
    folder = finished[0].parent / "runs" / "numbers" / "05-sample"
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    verdicts = {(json.dumps(one["prompt"]), one["completion"]): one for one in samples}
    pairs = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    for pair in pairs:
        prompt = json.dumps(pair["prompt"])
        assert verdicts[prompt, pair["chosen"]]["correct"]
        rejected = verdicts[prompt, pair["rejected"]]
        wrong = [one["logp"] for one in samples if json.dumps(one["prompt"]) == prompt and not one["correct"]]
        assert not rejected["correct"]
        assert rejected["logp"] == max(wrong), "the most probable wrong answer is the one to unlearn"


def test_the_exports_load_and_say_where_they_come_from(finished: tuple[Path, dict[str, Any]]) -> None:
    folder = finished[0].parent / "runs" / "numbers" / "08-export"
    decoder, _ = burnish.load(folder / "model", device="cpu", compute_dtype="float32")
    trained, _ = burnish.load(folder.parent / "06-dpo" / "model", device="cpu", compute_dtype="float32")
    for (name, one), other in zip(decoder.named_parameters(), trained.parameters(), strict=True):
        assert one.equal(other), name
    burnish.load(folder / "numbers-F16.gguf", device="cpu", compute_dtype="float32")
    burnish.load(folder / "numbers-Q8_0.gguf", device="cpu", compute_dtype="float32")
    card = (folder / "model" / "README.md").read_text()
    for part in ("from `model`", "### dpo", "beta: 0.1", "| final |", "prepare.py"):
        assert part in card


def test_a_second_run_finds_everything_in_the_cache(copied: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in copied.parent.rglob("*/model/*")}
    summary = again(copied)
    assert ran(summary) == []
    assert {file: file.stat().st_mtime_ns for file in copied.parent.rglob("*/model/*")} == before


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("dpo.beta=0.2", ["dpo", "evaluate", "export"]),
        ("sample.samples=3", ["sample", "dpo", "evaluate", "export"]),
        ("evaluate.max_new_tokens=4", ["evaluate", "export"]),
        ("export.gguf=[]", ["export"]),
        ("chat.system=Be brief.", ["export"]),  # the model card says it
        ("threads=2", []),
        ("corpus.window=32", ["corpus", "cpt", "sft", "sample", "dpo", "evaluate", "export"]),
        ("seed=4", STAGES[1:]),
    ],
)
def test_a_change_is_planned_for_what_depends_on_it_only(copied: Path, override: str, expected: list[str]) -> None:
    plan = make_plan(copied, overrides=[override], runs=copied.parent / "runs")
    assert [stage.name for stage, status in preview(plan) if not status.cached] == expected


def test_a_changed_stage_is_rerun_with_those_that_depend_on_it(copied: Path) -> None:
    cache = sorted(copied.parent.rglob("reference_logps/*"))
    assert cache
    summary = again(copied, "dpo.beta=0.5")
    assert ran(summary) == ["dpo", "evaluate", "export"]
    assert sorted(copied.parent.rglob("reference_logps/*")) == cache, "another beta has the same reference"
    assert ran(again(copied, "dpo.beta=0.5")) == []
    assert "dpo" in ran(again(copied)), "going back is a change as well"


def test_a_changed_input_reruns_what_reads_it(copied: Path) -> None:
    script = copied.parent / "prepare.py"
    script.write_text(script.read_text() + "\n# a comment\n")
    plan = make_plan(copied, runs=copied.parent / "runs")
    statuses = {stage.name: status for stage, status in preview(plan)}
    assert not any(status.cached for status in statuses.values())
    assert statuses["prepare"].reason == "prepare.py changed"
    assert statuses["corpus"].reason == "@prepare/documents.jsonl changed"


def test_a_lost_product_is_made_again(copied: Path) -> None:
    (copied.parent / "runs" / "numbers" / "08-export" / "numbers-F16.gguf").unlink()
    assert ran(again(copied)) == ["export"]


@pytest.mark.slow
def test_from_reruns_a_stage_and_all_after_it(copied: Path) -> None:
    assert ran(again(copied, start="evaluate")) == ["evaluate", "export"]
    with pytest.raises(BurnishError, match=r"--from evaluat: no such stage; did you mean 'evaluate'\?"):
        again(copied, start="evaluat")


def test_a_stage_put_in_between_leaves_the_others_cached(copied: Path) -> None:
    text = copied.read_text()
    copied.write_text(
        text.replace("  - type: sample\n", "  - {type: export, name: early, model: '@sft'}\n  - type: sample\n")
    )
    assert ran(again(copied)) == ["early"]
    assert (copied.parent / "runs" / "numbers" / "09-export" / "stage.json").exists()


@pytest.mark.slow
def test_a_reported_score_may_take_several_groups_together(copied: Path) -> None:
    several = "evaluate.report.together={model: final, group: [unseen, seen]}"
    summary = again(copied, several)
    assert summary["execution_accuracy"]["together"] == summary["execution_accuracy"]["final"]
    alone = summary["execution_accuracy"]["final_unseen_intents"]
    assert again(copied, several.replace(", seen", ""))["execution_accuracy"]["together"] == alone
    with pytest.raises(DataError, match=r"report.together.group: no task has 'split: sean'; did you mean 'seen'\?"):
        again(copied, several.replace(", seen", ", sean"))


@pytest.mark.slow
def test_answers_may_be_elected_from_several(copied: Path) -> None:
    summary = again(copied, "evaluate.votes=4", "evaluate.temperature=0.5")
    assert ran(summary) == ["evaluate", "export"]
    lines = (copied.parent / "runs" / "numbers" / "07-evaluate" / "answers-final.jsonl").read_text().splitlines()
    answers = [json.loads(line) for line in lines]
    assert len(answers) == 9
    assert all(0 <= answer["votes"] <= 4 for answer in answers)
    assert any(answer["votes"] > 1 for answer in answers)
    assert all(answer["votes"] for answer in answers if answer["correct"])


def test_old_products_stay_until_the_new_work_starts(copied: Path) -> None:
    with pytest.raises(DataError, match="no task has"):
        again(copied, "dpo.beta=0.5", "evaluate.report.final_unseen_intents.group=nowhere")
    assert (copied.parent / "runs" / "numbers" / "06-dpo" / "model" / "config.json").exists()
    assert ran(again(copied)) == []


def test_a_run_folder_is_used_by_one_process_at_a_time(copied: Path) -> None:
    folder = copied.parent / "runs" / "numbers"
    with run_lock(folder), pytest.raises(BurnishError, match=rf"in use by another run \(process {os.getpid()}\)"):
        again(copied)


def test_the_lock_of_a_dead_process_is_taken_over(copied: Path) -> None:
    (copied.parent / "runs" / "numbers" / ".lock").write_text(json.dumps({"pid": 2**22 + 1}))
    assert ran(again(copied)) == []


def test_too_little_disk_space_is_refused_before_anything_runs(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(copied)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BurnishError, match=r"the stages to run write up to .* MiB, but only 0.0 MiB are free"):
        again(copied, "dpo.beta=0.5")
    assert ran(again(copied)) == [], "what is cached needs no space"


def test_rows_are_checked_as_soon_as_they_exist(copied: Path) -> None:
    script = copied.parent / "prepare.py"
    script.write_text(script.read_text().replace('("assistant", sql)', '("asistant", sql)'))
    with pytest.raises(DataError) as caught:
        again(copied)
    for part in ("stage sft", "train.jsonl:1", "asistant"):
        assert part in str(caught.value)
    plan = make_plan(copied, runs=copied.parent / "runs")
    assert [stage.name for stage, status in preview(plan) if status.cached] == ["prepare"], "nothing has trained"


def test_a_file_that_a_stage_did_not_make_is_named_before_training(copied: Path) -> None:
    text = copied.read_text().replace('data: "@prepare/train.jsonl"', 'data: "@prepare/trian.jsonl"')
    copied.write_text(text)
    with pytest.raises(DataError, match=r"sft.data: got '@prepare/trian.jsonl', .* did you mean 'train.jsonl'\?"):
        again(copied, "prepare.arguments=[]", "cpt.replay=0.1")
    plan = make_plan(copied, overrides=["cpt.replay=0.1"], runs=copied.parent / "runs")
    assert not {stage.name: status.cached for stage, status in preview(plan)}["cpt"]


def test_a_failing_script_shows_its_last_lines(copied: Path) -> None:
    (copied.parent / "prepare.py").write_text("print('one')\nraise SystemExit('no such thing')\n")
    with pytest.raises(BurnishError) as caught:
        again(copied)
    for part in ("stage prepare: prepare.py failed (exit status 1)", "one", "no such thing", "prepare.log"):
        assert part in str(caught.value)


@pytest.mark.slow
def test_lora_leaves_an_adapter_and_the_merged_model(copied: Path) -> None:
    assert "sft" in ran(again(copied, "sft.lora.rank=8", "sft.lora.targets=[q, up]"))
    folder = copied.parent / "runs" / "numbers" / "04-sft"
    base = copied.parent / "runs" / "numbers" / "03-cpt" / "model"
    merged, _ = burnish.load(folder / "model", device="cpu", compute_dtype="float32")
    adapted, _ = burnish.load(folder / "adapter", base=base, device="cpu", compute_dtype="float32")
    original, _ = burnish.load(base, device="cpu", compute_dtype="float32")
    befores = dict(original.named_parameters())
    for (name, one), other in zip(merged.named_parameters(), adapted.parameters(), strict=True):
        assert one.equal(other), name
        module = merged.get_submodule(name.rpartition(".")[0])
        for part, rows in getattr(module, "parts", {"": slice(None)}).items():
            assert one[rows].equal(befores[name][rows]) == (part not in ("q", "up")), (name, part)


@pytest.mark.slow
def test_frozen_layers_stay_as_they_were(copied: Path) -> None:
    again(copied, "sft.freeze_layers=1")
    stages = copied.parent / "runs" / "numbers"
    before, _ = burnish.load(stages / "03-cpt" / "model", device="cpu", compute_dtype="float32")
    after, _ = burnish.load(stages / "04-sft" / "model", device="cpu", compute_dtype="float32")
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert old.equal(new) == name.startswith(("embedding", "blocks.0.")), name


def test_more_frozen_layers_than_the_model_has_is_an_error_before_anything_runs(copied: Path) -> None:
    with pytest.raises(BurnishError, match=r"sft.freeze_layers: got 2; the model has 2 layers .*expected at most 1"):
        again(copied, "sft.freeze_layers=2", "cpt.replay=0.1")
    record = json.loads((copied.parent / "runs" / "numbers" / "03-cpt" / "stage.json").read_text())
    assert record["configuration"]["replay"] == 0.25
