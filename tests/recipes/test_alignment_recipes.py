"""recipes/rlhf, recipes/dpo, recipes/compare: the preparation, and from one file of pairs to one report, in small."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from burnish.console.display import Display
from burnish.datasets.rows import read_conversations, read_preferences, read_tasks
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import run
from workshop import make_workshop

RECIPES = Path(__file__).parents[2] / "recipes"
FILES = ("heldout.jsonl", "pairs.jsonl", "prompts.jsonl", "sft.jsonl")


def prepare(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RECIPES / "prepare.py"), "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def triples(file: Path, count: int) -> Path:
    rows = [{"prompt": f"{i} mod 3?", "chosen": f"SELECT {i % 3}", "rejected": f"prose {i}"} for i in range(count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "What?", "chosen": "This.", "rejected": "That."},
        {
            "conversations": [{"from": "human", "value": "What?"}],
            "chosen": {"from": "gpt", "value": "This."},
            "rejected": {"from": "gpt", "value": "That."},
        },
        {"chosen": "\n\nHuman: What?\n\nAssistant: This.", "rejected": "\n\nHuman: What?\n\nAssistant: That."},
    ],
    ids=["triple", "ShareGPT", "HH"],
)
def test_every_format_becomes_the_same_rows(row: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(f"{json.dumps(row)}\n" * 3)
    done = prepare(tmp_path / "out", str(tmp_path / "pairs.jsonl"), "--heldout", "1")
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == list(FILES)
    question = [{"role": "user", "content": "What?"}]
    pairs = read_preferences(tmp_path / "out" / "pairs.jsonl")
    assert [(pair.prompt, pair.chosen[0]["content"], pair.rejected[0]["content"]) for pair in pairs] == [
        (question, "This.", "That.")
    ] * 2
    assert len(read_preferences(tmp_path / "out" / "heldout.jsonl")) == 1
    (imitated, _) = read_conversations(tmp_path / "out" / "sft.jsonl")
    assert imitated.messages == [*question, {"role": "assistant", "content": "This."}]
    assert [task.prompt for task in read_tasks(tmp_path / "out" / "prompts.jsonl")] == [question] * 2


def test_the_last_rows_are_held_out_and_long_prompts_are_not_trained_on(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i} " * (1 + 400 * (i % 2)), "chosen": "a", "rejected": "b"} for i in range(10)]
    rows[0]["rejected"] = "a"
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    done = prepare(tmp_path / "out", str(tmp_path / "pairs.json"), "--heldout", "4", "--longest-prompt", "100")
    assert "2 of 6 rows for training" in done.stdout
    assert "4 of the last 4 held out; 1 with equal or empty answers" in done.stdout
    trained = read_preferences(tmp_path / "out" / "pairs.jsonl")
    assert [pair.prompt[0]["content"] for pair in trained] == ["2 ", "4 "]
    heldout = read_preferences(tmp_path / "out" / "heldout.jsonl")
    assert [pair.prompt[0]["content"][:1] for pair in heldout] == ["6", "7", "8", "9"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name your file of preferences: burnish run RECIPE --set 'prepare.arguments=[PAIRS]'"),
        (["nowhere.jsonl"], "nowhere.jsonl"),
        (["few.jsonl"], "3 rows, of which --heldout 50 leaves none"),
        (
            ["few.jsonl", "--heldout", "1", "--longest-prompt", "1"],
            "no prompt has at most --longest-prompt 1 characters",
        ),
    ],
)
def test_what_cannot_be_prepared_is_said(arguments: list[str], message: str, tmp_path: Path) -> None:
    triples(tmp_path / "few.jsonl", 3)
    arguments = [str(tmp_path / one) if one.endswith("jsonl") else one for one in arguments]
    done = prepare(tmp_path / "out", *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_real_pairs_leave_enough_of_each_kind(shared_data: Path, tmp_path: Path) -> None:
    done = prepare(tmp_path, str(shared_data / "dpo_en_demo.json"))
    assert done.returncode == 0, done.stderr
    assert len(read_preferences(tmp_path / "heldout.jsonl")) == 50
    last = read_preferences(shared_data / "dpo_en_demo.json")[-1]
    assert read_preferences(tmp_path / "heldout.jsonl")[-1].prompt == last.prompt
    assert len(read_preferences(tmp_path / "pairs.jsonl")) > 120


@pytest.mark.usefixtures("smollm2_path")
def test_both_recipes_start_from_the_same_model(tmp_path: Path) -> None:
    """Equal keys of the first two stages: the same configuration, inputs and seed, so the same bits."""
    plans = {
        name: make_plan(RECIPES / name / "recipe.yaml", overrides=["prepare.arguments=[x.json]"], runs=tmp_path)
        for name in ("rlhf", "dpo")
    }
    rlhf, dpo = plans["rlhf"].stages, plans["dpo"].stages
    assert [stage.name for stage in rlhf] == ["prepare", "sft", "reward_model", "ppo", "compare"]
    assert [stage.name for stage in dpo] == ["prepare", "sft", "dpo", "compare"]
    for one, other in zip(rlhf[:2], dpo[:2], strict=True):
        assert one.key == other.key
        assert one.seed == other.seed


@pytest.mark.slow
def test_from_one_file_of_pairs_to_one_report(tmp_path: Path) -> None:
    """The recipes as they are, but for a tiny model and short answers; the third reads what the first two left."""
    shutil.copytree(RECIPES, tmp_path / "recipes", ignore=shutil.ignore_patterns("__pycache__"))
    make_workshop(tmp_path / "workshop")
    pairs = triples(tmp_path / "pairs.jsonl", 24)
    everywhere = [f"model={tmp_path / 'workshop' / 'model'}", "device=cpu", "compute_dtype=float32", "threads=1"]
    brief = ["compare.max_new_tokens=8", "compare.max_length=64"]
    prepared = [
        f"prepare.arguments=['{pairs}', --heldout, '8']",
        "sft.training.learning_rate=5e-3",
        "sft.freeze_layers=1",
    ]
    rlhf = ["keep=all", "ppo.rollouts=2", "ppo.max_new_tokens=8", "ppo.training.batch_size=4"]
    for name, own in (
        ("rlhf", [*rlhf, "ppo.freeze_layers=1", "reward_model.freeze_layers=1"]),
        ("dpo", ["dpo.freeze_layers=1"]),
        ("compare", []),
    ):
        overrides = [*everywhere, *brief, *own, *(prepared if name != "compare" else [])]
        recipe = tmp_path / "recipes" / name / "recipe.yaml"
        summary = run(recipe, overrides=overrides, runs=tmp_path / "runs", display=Display(quiet=True))
        assert set(summary["kl"]) >= {"sft"}
    weights = [tmp_path / "runs" / name / "02-sft" / "model" / "model.safetensors" for name in ("rlhf", "dpo")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert list(summary["kl"]) == ["sft", "dpo", "ppo"]
    assert list(summary["pairs_ranked_right"]) == ["dpo", "ppo", "reward_model"]
    record = json.loads((tmp_path / "runs" / "compare" / "01-compare" / "stage.json").read_text())
    made_by = {
        label: [stage["name"] for stage in row["training"]["stages"]]
        for label, row in record["metrics"]["models"].items()
    }
    assert made_by == {
        "sft": ["prepare", "sft"],
        "dpo": ["prepare", "sft", "dpo"],
        "ppo": ["prepare", "sft", "reward_model", "ppo"],
    }
    assert "Models on 8 held-out prompts" in (tmp_path / "runs" / "compare" / "report.html").read_text()
