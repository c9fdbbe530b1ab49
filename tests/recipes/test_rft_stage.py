"""The rft stage: a recipe trains, says what it accepted and shows it; what cannot work is refused before it runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from burnish.console.display import Display
from burnish.errors import RecipeError
from burnish.recipes.runner.running import run
from burnish.training.events import read_events
from workshop import make_workshop

REWARD = """
def vowel(prompt, completion, row):
    return any(letter in "aeiou" for letter in completion) and row["n"] >= 0
"""
STAGE: dict[str, Any] = {
    "type": "rft",
    "tasks": "tasks.jsonl",
    "rewards": [{"type": "python", "file": "reward.py", "function": "vowel", "name": "vowel"}],
    "stop": [" ", "q", "S"],
    "num_generations": 6,
    "max_new_tokens": 12,
    "training": {"learning_rate": 1e-3, "batch_size": 4, "micro_batch_tokens": 100},
}


def trained(folder: Path, **changes: Any) -> tuple[dict[str, Any], Path]:
    recipe = {
        "name": "numbers",
        "seed": 3,
        "model": "model",
        "device": "cpu",
        "compute_dtype": "float32",
        "threads": 1,
        "stages": [STAGE | changes],
    }
    file = make_workshop(folder, yaml.safe_dump(recipe))
    (folder / "reward.py").write_text(REWARD)
    rows = ({"prompt": f"word {n}", "n": n} for n in range(6))
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = run(file, runs=folder / "runs", display=Display(quiet=True))
    return summary, folder / "runs" / "numbers" / "01-rft"


def test_a_recipe_learns_from_what_was_accepted(tmp_path: Path) -> None:
    summary, folder = trained(tmp_path)
    metrics = json.loads((folder / "stage.json").read_text())["metrics"]
    lines = [json.loads(line) for line in (folder / "rollouts" / "00000.jsonl").read_text().splitlines()]
    assert len(lines) == 6 * 6
    accepted = [line for line in lines if line["accepted"]]
    assert all(line["finished"] and line["rewards"]["vowel"] == 1 for line in accepted)
    kept = [line for line in lines if line["kept"]]
    assert 0 < len(kept) <= len(accepted)
    events = read_events(folder)
    assert events[0]["accuracy"] == pytest.approx(len(accepted) / 36)
    assert events[0]["kept"] == len(kept)
    assert len(events) == metrics["steps"] == max(1, round(len(kept) / 4))
    assert summary["accepted"]["rft"] == metrics["accuracy_by_time"]
    assert (folder / "model" / "model.safetensors").exists()
    assert 'aria-label="accuracy' in (folder.parent / "report.html").read_text() or len(events) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": [{"type": "format"}]}, "none tells right from wrong: set `threshold`"),
        ({"steps_per_generation": 2}, "is about `online: true`"),
        ({"deduplicate": "words"}, "deduplicate"),
        ({"max_per_prompt": 0}, "max_per_prompt"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        trained(tmp_path, **changes)
