"""recipes/r1-zero and recipes/r1: the preparation, and both from nothing to their reports, in small."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from burnish.console.display import Display
from burnish.recipes.runner.running import run
from burnish.rewards.format import final_answer, grade_format
from burnish.training.events import read_events

RECIPES = Path(__file__).parents[2] / "recipes"


def prepare(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RECIPES / "r1-zero" / "prepare.py"), "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def own_questions(file: Path, count: int) -> None:
    """Questions of one's own in the manner of GSM8K, one of which has no written solution."""
    lines = [
        {"question": f"Add {n}+{n % 7}", "answer": f"first the ones {n}+{n % 7} #### {n + n % 7}", "level": n}
        for n in range(1, count)
    ]
    lines.append({"question": "Add 0+0", "answer": "0", "level": 0})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_r1_is_prepared_from_questions_of_ones_own(tmp_path: Path) -> None:
    own_questions(tmp_path / "own.jsonl", 30)
    script = [
        sys.executable,
        str(RECIPES / "r1" / "prepare.py"),
        "--out",
        str(tmp_path / "out"),
        "--prompt",
        "question",
    ]
    asked = ["--questions", str(tmp_path / "own.jsonl"), "--heldout", "8", "--few-shot", "5", "--tasks", "1000"]
    subprocess.run([*script, *asked], check=True, capture_output=True)
    held, learned = (rows(tmp_path / "out" / f"{name}.jsonl") for name in ("heldout", "reasoning"))
    assert [row["level"] for row in held] == [*range(23, 30), 0]
    assert {row["level"] for row in learned} == set(range(1, 23))
    assert all(row["kind"] == "reasoning" and row["prompt"] == row["question"] for row in held + learned)
    for row in rows(tmp_path / "out" / "few_shot.jsonl"):
        first, said, _, _, question = row["prompt"]
        assert question["content"] == row["question"] != first["content"]
        assert grade_format(said["content"]) == "full"
        assert int(final_answer(said["content"])) == sum(map(int, first["content"][4:].split("+")))
    own_questions(tmp_path / "own.jsonl", 5)
    few = subprocess.run([*script, *asked], check=False, capture_output=True, text=True)
    assert few.returncode == 1
    assert "5 rows; 8 are held out, and more needed" in few.stderr


def additions(text: str) -> list[tuple[int, int, str]]:
    """The numbers of each addition in a text, and the answer to it."""
    turns = text.split("User: ")[1:]
    found = [turn.partition(". Assistant:") for turn in turns]
    sums = [
        (asked[4:].removesuffix(" and check"), said.strip()) for asked, _, said in found if asked.startswith("Add ")
    ]
    return [(int(a), int(b), said) for asked, said in sums for a, _, b in [asked.partition("+")]]


def test_what_is_read_is_right_and_shares_nothing_with_what_is_held_out(tmp_path: Path) -> None:
    done = prepare(
        tmp_path, "--texts", "600", "--whole", "0.2", "--thinking", "0.5", "--tasks", "90", "--heldout", "30"
    )
    assert done.returncode == 0, done.stderr
    read = [one for row in rows(tmp_path / "texts.jsonl") for one in additions(row["text"])]
    thought = [said for _, _, said in read if "<think>" in said]
    assert 0.4 < len(thought) / len(read) < 0.6
    assert all(grade_format(said) == "full" for said in thought)
    assert all(int(final_answer(said)) == a + b for a, b, said in read)
    asked, heldout = ({row["prompt"]: row for row in rows(tmp_path / f"{name}.jsonl")} for name in ("tasks", "heldout"))
    assert not set(heldout) & (set(asked) | {f"Add {a}+{b}" for a, b, _ in read})
    assert [row["digits"] for row in rows(tmp_path / "heldout.jsonl")][:4] == [2, 3, 2, 3]
    assert any("十位" in said for said in thought)
    assert any("check" in said or "检查" in said for said in thought)
    again = tmp_path / "again"
    prepare(again, "--texts", "600", "--whole", "0.2", "--thinking", "0.5", "--tasks", "90", "--heldout", "30")
    for name in ("texts", "tasks", "heldout"):
        assert (again / f"{name}.jsonl").read_bytes() == (tmp_path / f"{name}.jsonl").read_bytes()


TINY_ZERO = [
    'prepare.arguments=["--texts","60","--tasks","12","--heldout","4"]',
    "pretrain.architecture.d_model=16",
    "pretrain.architecture.n_layers=1",
    "pretrain.architecture.n_heads=2",
    "grpo.rollouts=2",
    "grpo.num_generations=2",
    "grpo.num_generations_eval=2",
    "grpo.max_new_tokens=12",
    "grpo.training.batch_size=2",
    "grpo.training.eval_steps=1",
    "evaluate.samples=2",
    "evaluate.max_new_tokens=12",
    "threads=1",
    "compute_dtype=float32",
]


def small(name: str, folder: Path, overrides: list[str]) -> Path:
    """Run a recipe of a copy of the recipes, with small settings; its run folder."""
    if not (folder / "recipes").exists():
        shutil.copytree(RECIPES, folder / "recipes")
    recipe = folder / "recipes" / name / "recipe.yaml"
    run(recipe, runs=folder / "runs", display=Display(quiet=True), overrides=overrides)
    return folder / "runs" / name


@pytest.mark.slow
def test_r1_zero_runs_from_nothing_to_its_report(tmp_path: Path) -> None:
    folder = small("r1-zero", tmp_path, TINY_ZERO)
    report = (folder / "report.html").read_text(encoding="utf-8")
    for said in ("What the model said while it learned", "Entropy"):
        assert said in report
    last = read_events(folder / "04-grpo")[-1]
    assert {
        "kl",
        "entropy",
        "eval_pass@1",
        "eval_pass@2",
        "rewards/reflection/mean",
        "rewards/format/mean",
    } <= last.keys()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["heldout"]["grpo"]["rows"] == 4
    assert any(name.startswith("completions/mean_length/digits=") for name in last)
    assert set(summary["pass@1"]) == {"base", "r1-zero"}


# One digit, learned by heart: whoever samples thoughts to imitate needs a model that has some.
LEARNED = [
    'prepare.arguments=["--texts","1200","--digits","1","--thinking","0.8","--talk","0.3","--whole","0.4","--tasks","12",'
    '"--heldout","4"]',
    "pretrain.architecture.d_model=48",
    "pretrain.architecture.n_layers=2",
    "pretrain.training.epochs=8",
    *TINY_ZERO[3:],
]
TINY_R1 = [
    'prepare.arguments=["--few-shot","8","--reflective","4","--plain","12","--tasks","8","--further","8",'
    '"--heldout","3","--digits","1"]',
    *(f"{name}.samples=2" for name in ("rejection", "augmented", "teacher", "evaluate", "helpful")),
    "helpfulness.heldout=4",
    "cold-start.training.epochs=20",
    # So small a model is hardly ever right: what ends is taken.
    *(f"{name}.judges=[{{type: regex, pattern: .}}]" for name in ("rejection", "teacher")),
    *(f"{name}.threshold=0" for name in ("rejection", "teacher")),
    *(f"{name}.rollouts=2" for name in ("reasoning-rl", "r1", "student-rl")),
    *(f"{name}.num_generations=2" for name in ("reasoning-rl", "r1", "student-rl")),
    *(f"{name}.num_generations_eval=1" for name in ("reasoning-rl", "r1", "student-rl")),
    "student.architecture.d_model=16",
    "student.architecture.n_layers=1",
    "student.architecture.n_heads=2",
    "student.training.epochs=0.2",
    "threads=1",
    "compute_dtype=float32",
]


@pytest.mark.slow
def test_r1_goes_on_from_r1_zero_through_all_stages(tmp_path: Path) -> None:
    small("r1-zero", tmp_path, LEARNED)
    folder = small("r1", tmp_path, TINY_R1)
    summary = json.loads((folder / "summary.json").read_text())
    assert [stage["name"] for stage in summary["stages"]][3:8] == [
        "zero",
        "cleaned",
        "tokens",
        "cold-start",
        "reasoning-rl",
    ]
    assert set(summary["accuracy"]) >= {"base", "r1-zero", "cold-start", "sft", "r1", "distilled", "student-rl"}
    cold = rows(folder / "05-cleaned" / "cold_start.jsonl")
    assert cold
    assert all(row["completion"].startswith("<|reasoning|> ") and "<|summary|> " in row["completion"] for row in cold)
    assert not any("check" in row["prompt"] for row in cold)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "What the model said while it learned: reasoning-rl" in report
    own_questions(tmp_path / "own.jsonl", 30)
    own = ["--questions", str(tmp_path / "own.jsonl"), "--prompt", "question", "--few-shot", "8", "--reflective", "4"]
    own += ["--plain", "12", "--tasks", "8", "--further", "8", "--heldout", "3"]
    groups = [f"{name}.groups=kind" for name in ("reasoning-rl", "student-rl", "evaluate")]
    folder = small("r1", tmp_path, [f"prepare.arguments={json.dumps(own)}", *TINY_R1[1:], *groups])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["accuracy"]["r1"]
