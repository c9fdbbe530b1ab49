"""What a run finds on the disk is what was written, or it is said which file is not; nothing is learned in vain."""

import errno
import io
import json
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from rich.console import Console

from burnish.console.display import Display
from burnish.errors import BurnishError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.plan.status import status_of
from burnish.recipes.runner.clean import clean
from burnish.recipes.runner.running import preview, run
from burnish.runs import hashes
from burnish.runs.hashes import FileHashes
from burnish.runs.memory import Sampler
from workshop import SAME_BITS, make_workshop

RECIPE = (
    "name: numbers"
    + SAME_BITS
    + """keep: all
stages:
  - {type: prepare, script: prepare.py}
  - &sft
    type: sft
    data: "@prepare/train.jsonl"
    heldout: 0
    training: {batch_size: 8, checkpoint_seconds: 0}
  - {<<: *sft, name: second, data: rows.jsonl, model: "@sft"}
"""
)
ROWS = [{"prompt": f"{i} mod 3?", "completion": f"SELECT {i % 3}"} for i in range(12)]


def make(folder: Path, recipe: str = RECIPE) -> Path:
    file = make_workshop(folder, recipe)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def again(recipe: Path, *overrides: str, display: Display | None = None) -> list[str]:
    """Run, and name the stages that were."""
    summary = run(recipe, overrides=overrides, runs=recipe.parent / "runs", display=display or Display(quiet=True))
    return [stage["name"] for stage in summary["stages"] if not stage["cached"]]


def folder(recipe: Path, stage: str) -> Path:
    return recipe.parent / "runs" / "numbers" / stage


def record(recipe: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder(recipe, stage) / "stage.json").read_text())
    return found


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = make(tmp_path_factory.mktemp("ready") / "workshop")
    assert again(recipe) == ["prepare", "sft", "second"]
    return recipe


@pytest.fixture
def finished(ready: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed; the recipe's file."""
    shutil.copytree(ready.parent, tmp_path / "workshop")
    return tmp_path / "workshop" / "recipe.yaml"


def flip_a_bit(file: Path, *, keep_times: bool = True) -> None:
    status = file.stat()
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(bytes(data))
    if keep_times:
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_changed_product_is_noticed_and_named(finished: Path) -> None:
    model = folder(finished, "02-sft") / "model" / "model.safetensors"
    before = model.read_bytes()
    assert again(finished) == []
    flip_a_bit(model)
    plan = make_plan(finished, runs=finished.parent / "runs")
    (status,) = [status for stage, status in preview(plan) if stage.name == "sft"]
    assert status.reason == "its product model/model.safetensors has changed since it was made"
    changed = model.read_bytes()
    assert again(finished) == ["sft"]
    assert model.read_bytes() == before
    aside = folder(finished, "changed") / "02-sft" / "model" / "model.safetensors"
    assert aside.read_bytes() == changed, "what somebody has changed is put aside, not lost"


def test_a_bit_that_flips_without_a_trace_is_noticed_before_the_product_is_read(finished: Path) -> None:
    """Of a disk that forgets: size, times and number of the file are those that the hash was remembered for."""
    stage = make_plan(finished, runs=finished.parent / "runs").stages[1]
    hashes = FileHashes(finished.parent / "none")
    assert status_of(stage, hashes).cached
    model = stage.folder / "model" / "model.safetensors"
    known = hashes.of(model)
    flip_a_bit(model)
    status = model.stat()
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    hashes._known[str(model.resolve())] = [*stamp, known]
    assert status_of(stage, hashes).cached
    assert status_of(stage, hashes, thorough=True).reason.startswith("its product model/model.safetensors has changed")


def test_a_folder_that_takes_long_to_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe may name a home folder by mistake, and nothing else would tell what takes so long."""
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("text")
    said: list[str] = []
    known = FileHashes(tmp_path / "none", said.append)
    known.of(tmp_path)
    assert not said
    monkeypatch.setattr(hashes, "SLOW_SECONDS", -1.0)
    known.of(tmp_path)
    assert len(said) == 3
    assert f"reading {tmp_path}, to know when it changes: 2 of 3 files" in said[-1]


def test_a_file_that_a_stage_has_not_made_is_not_read_with_its_product(finished: Path) -> None:
    (folder(finished, "02-sft") / "model" / "generation_config.json.bak").write_text("{}")
    assert again(finished) == [], "nobody reads it"
    with pytest.raises(
        BurnishError, match=r"02-sft/model/generation_config.json.bak: stage sft has not made this file"
    ):
        again(finished, "second.training.learning_rate=1e-4")


BROKEN = (b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"key": 3}', b'{"value": [], "sha256": 1}')


def test_a_broken_record_means_that_the_stage_runs_again(finished: Path) -> None:
    file = folder(finished, "03-second") / "stage.json"
    found = json.loads(file.read_text())
    partly = [{"key": found["key"]}, {**found, "products": {"model": 3}}, {**found, "wall_seconds": "x"}]
    stage = make_plan(finished, runs=finished.parent / "runs").stages[2]
    for content in (*BROKEN, *(json.dumps(damaged).encode() for damaged in partly)):
        file.write_bytes(content)
        assert status_of(stage).state == "run", content[:50]
        assert "stage.json" in status_of(stage).reason or "changed" in status_of(stage).reason
    assert again(finished) == ["second"]
    assert record(finished, "03-second")["metrics"]["steps"] == 2


@pytest.mark.parametrize("name", ["run.json", "summary.json", ".hashes.json", ".holder.json"])
def test_broken_files_of_a_run_are_written_anew(finished: Path, name: str) -> None:
    for content in BROKEN:
        folder(finished, name).write_bytes(content)
        assert again(finished) == []


def test_an_input_that_is_edited_while_the_run_goes_on_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    script = (tmp_path / "prepare.py").read_text()
    edit = 'p = Path(__file__).parent / "rows.jsonl"\np.write_text(p.read_text().replace("SELECT 1", "SELECT 7"))\n'
    (tmp_path / "prepare.py").write_text(script + edit)
    with pytest.raises(BurnishError, match=r"'rows.jsonl' has changed since the run began"):
        again(recipe)
    assert not (folder(recipe, "03-second") / "stage.json").exists()
    assert again(recipe) == ["second"]


def stopped_after(recipe: Path, step: int) -> None:
    """Run until the second stage has done so many steps."""

    class Stop(Display):
        def bar(self, title: str, total: int, unit: str) -> Any:
            inner = super().bar(title, total, unit)
            if title == "03-second":
                os.kill(os.getpid(), signal.SIGINT)
            return inner

    with pytest.raises(KeyboardInterrupt):
        again(recipe, display=Stop(quiet=True))
    assert (folder(recipe, "03-second") / "running.json").exists()


@pytest.mark.parametrize("content", [b"\xff", pytest.param(b"KEY", marks=pytest.mark.slow)])
def test_a_broken_note_of_an_interrupted_stage_is_a_new_start(tmp_path: Path, content: bytes) -> None:
    recipe = make(tmp_path)
    stopped_after(recipe, 1)
    file = folder(recipe, "03-second") / "running.json"
    if content == b"KEY":
        content = json.dumps(
            {"key": json.loads(file.read_text())["key"], "attempts": "x", "started": 3, "notices": 1}
        ).encode()
    file.write_bytes(content)
    assert again(recipe) == ["second"]


@pytest.mark.slow
def test_going_on_with_other_threads_is_said(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    stopped_after(recipe, 1)
    file = folder(recipe, "03-second") / "running.json"
    running = json.loads(file.read_text())
    assert running["environment"]["threads"] == 1
    running["environment"] |= {"threads": 2, "PyTorch": "1.0"}
    file.write_text(json.dumps(running))
    console = Console(record=True, width=200, file=io.StringIO())
    again(recipe, display=Display(console))
    said = console.export_text()
    assert "threads 1 instead of 2: not the bits of an undisturbed run" in said
    (notice,) = record(recipe, "03-second")["notices"]
    assert "threads 1 instead of 2" in notice
    assert "instead of 1.0" in notice


LENGTH = "rewards: [{type: length, max_length: 8, cache: 2}], training: {epochs: 0.1}"
FEW = "training: {epochs: 0.1, batch_size: 32}"


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (
            "{type: sft, data: three.jsonl, heldout: 0, " + FEW + "}",
            "0.1 of 3 examples",
        ),
        ("{type: dpo, pairs: pairs.jsonl, " + FEW + "}", "0.1 of 3 examples"),
        ("{type: kto, data: labelled.jsonl, " + FEW + "}", "0.1 of 3 examples"),
        ("{type: reward_model, pairs: pairs.jsonl, " + FEW + "}", "0.1 of 3 examples"),
        (
            "{type: grpo, tasks: three.jsonl, " + LENGTH + "}",
            "0.1 of 3 tasks are 0.0094 rollouts of 32 prompts",
        ),
        (
            "{type: ppo, tasks: three.jsonl, " + LENGTH + "}",
            "0.1 of 3 tasks are 0.0094 rollouts of 32 prompts",
        ),
    ],
)
def test_a_training_without_a_step_is_refused_before_anything_runs(tmp_path: Path, stage: str, said: str) -> None:
    recipe = make(
        tmp_path, f"name: numbers{SAME_BITS}stages:\n  - {{type: prepare, script: prepare.py}}\n  - {stage}\n"
    )
    pair = {"prompt": "1?", "chosen": "SELECT 1", "rejected": "SELECT 2"}
    for name, row in (
        ("three", ROWS[0]), ("pairs", pair), ("labelled", {"prompt": "1?", "completion": "SELECT 1", "label": True})
    ):  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(row)}\n" * 3)
    with pytest.raises(BurnishError, match=rf"there would be 0 .*training.epochs {said}"):
        again(recipe)
    assert not folder(recipe, "01-prepare").exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_finished_run_is_shown_where_nothing_can_be_written(
    finished: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    for name in ("mkdir", "write_text", "write_bytes", "touch", "rename", "replace", "unlink"):
        monkeypatch.setattr(Path, name, read_only)
    monkeypatch.setattr(FileLock, "_acquire", read_only)
    monkeypatch.setattr("burnish.files._create", read_only)
    monkeypatch.setattr(Path, "mkdir", lambda self, *_, **__: None if self.is_dir() else read_only())
    assert again(finished) == []
    with pytest.raises(BurnishError, match=r"is read-only, and these stages are still to be run: second"):
        again(finished, "second.training.learning_rate=1e-4")


def test_a_full_disk_shows_its_first_error(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def train(*_: object, **__: object) -> None:
        monkeypatch.setattr("burnish.files._create", fail)
        raise BurnishError("cannot write the first thing: No space left on device")

    def fail(*_: object) -> None:
        raise full

    monkeypatch.setattr("burnish.training.loop.train", train)
    with pytest.raises(BurnishError, match=r"stage second: cannot write the first thing: No space left on device"):
        again(finished, "second.training.learning_rate=1e-4")


def test_a_failing_note_does_not_end_the_sampler() -> None:
    calls: list[int] = []
    three = threading.Event()

    def note() -> None:
        calls.append(1)
        if len(calls) == 3:
            three.set()

    with Sampler(note):
        assert three.wait(30)


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    class Gone:
        encoding = "utf-8"

        def write(self, _: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

        def flush(self) -> None:
            raise BrokenPipeError

        def isatty(self) -> bool:
            return False

    display = Display(Console(file=Gone()))  # type: ignore[arg-type]
    display.say("hello")
    with display.bar("steps", 3, "steps") as bar:
        bar.update(3)


def test_clean_removes_what_can_be_made_again_and_nothing_else(finished: Path) -> None:
    run_folder = folder(finished, "")
    (run_folder / "cache").mkdir()
    (run_folder / "cache" / "numbers").write_bytes(b"x" * 1000)
    everything = {file for file in run_folder.rglob("*") if file.is_file()}
    model = set((run_folder / "02-sft" / "model").iterdir())
    found = clean(run_folder, dry_run=True)
    assert {file for file in run_folder.rglob("*") if file.is_file()} == everything
    assert clean(run_folder) == found
    assert sum(one.n_bytes for one in found) > 1000
    left = {file for file in run_folder.rglob("*") if file.is_file()}
    assert everything - left == model | {run_folder / "cache" / "numbers"}
    assert clean(run_folder) == []
    assert again(finished) == [], "what nobody needs is not made again"
    assert again(finished, "second.training.learning_rate=1e-4") == ["sft", "second"]
    assert (run_folder / "02-sft" / "model" / "model.safetensors").exists()
    with pytest.raises(BurnishError, match=r"not the folder of a run"):
        clean(finished.parent)


def test_clean_removes_nothing_by_a_record_that_is_broken(finished: Path) -> None:
    run_folder = folder(finished, "02-sft").parent
    (run_folder / "02-sft" / "stage.json").write_text('{"type": "sft", "inputs": [1]}')
    before = sorted(run_folder.rglob("*"))
    with pytest.raises(BurnishError, match=r"02-sft/stage\.json: not what a stage leaves"):
        clean(run_folder)
    assert set(before) <= set(run_folder.rglob("*"))


def test_the_lock_is_as_private_as_the_umask_says(finished: Path) -> None:
    lock = folder(finished, ".lock")
    lock.unlink()
    old = os.umask(0o077)
    try:
        again(finished)
    finally:
        os.umask(old)
    assert lock.stat().st_mode & 0o777 == 0o600
