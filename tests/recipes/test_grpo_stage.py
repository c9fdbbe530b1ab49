"""The grpo stage: rewards rise, a killed run ends with the same bits, options do what they say, mistakes are named."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from burnish.console.display import Bar, Display
from burnish.errors import BurnishError, DataError, RecipeError
from burnish.recipes.runner.running import run
from burnish.training.events import read_events
from workshop import make_workshop

REWARD = """
from pathlib import Path

def vowels(prompt, completion, row):
    fault = Path(__file__).parent / "fail"
    if fault.exists():
        if fault.read_text():
            return float("nan")
        raise RuntimeError("the power failed")
    assert prompt[-1]["content"].startswith("word") and row["n"] >= 0
    return sum(letter in "aeiou" for letter in completion) / 8

def nothing(prompt, completion, row):
    return 0.25
"""
STAGE: dict[str, Any] = {
    "type": "grpo",
    "tasks": "tasks.jsonl",
    "rewards": [
        {"type": "python", "file": "reward.py", "function": "vowels", "name": "vowels"},
        {"type": "format", "weight": 0.01},
    ],
    "num_generations": 4,
    "max_new_tokens": 8,
    "rollouts": 3,
    "training": {"learning_rate": 5e-3, "batch_size": 2, "micro_batch_tokens": 100, "checkpoint_seconds": 0},
}


def workshop(folder: Path, **changes: Any) -> Path:
    """A folder with a recipe of one stage, and its tasks and rewards."""
    training = STAGE["training"] | changes.pop("training", {})
    recipe = {
        "name": "numbers",
        "seed": 3,
        "model": "model",
        "device": "cpu",
        "compute_dtype": "float32",
        "threads": 1,
        "stages": [STAGE | {"training": training} | changes],
    }
    file = make_workshop(folder, yaml.safe_dump(recipe))
    (folder / "reward.py").write_text(REWARD)
    rows = ({"prompt": f"word {n}", "n": n, "answer": n, "sql": "SELECT 1"} for n in range(6))
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def trained(recipe: Path, display: Display | None = None) -> Path:
    """Run the recipe; the stage's folder."""
    run(recipe, runs=recipe.parent / "runs", display=display or Display(quiet=True))
    return recipe.parent / "runs" / "numbers" / "01-grpo"


def products(folder: Path) -> dict[str, str]:
    """Content hash of all that the stage leaves and that does not tell the time."""
    files = [*folder.glob("model/*.safetensors"), *folder.glob("adapter/*.safetensors"), *folder.glob("rollouts/*")]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class Killed(BaseException):
    """Ends the process as far as the stage can tell: nothing catches it."""


class KillingDisplay(Display):
    """Kills the run when a step has been computed, before the state after it is saved."""

    def __init__(self, step: int) -> None:
        super().__init__(quiet=True)
        self.step = step

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        step = self.step

        class Killing:
            def update(self, completed: int, **_numbers: float) -> None:
                if completed == step:
                    raise Killed

        yield Killing()


def test_the_reward_rises_and_everything_is_kept(tmp_path: Path) -> None:
    recipe = workshop(tmp_path, rollouts=30, num_generations=8, log_entropy=True, beta=0.01)
    folder = trained(recipe)
    events = read_events(folder)
    assert len(events) == 30
    first, last = (sum(event["reward"] for event in part) / 5 for part in (events[:5], events[-5:]))
    assert last > 1.5 * first
    record = json.loads((folder / "stage.json").read_text())
    assert record["metrics"]["rewards_by_time"]["last"] > record["metrics"]["rewards_by_time"]["first"]
    summary = json.loads((folder.parent / "summary.json").read_text())
    assert summary["reward"]["grpo"] == record["metrics"]["rewards_by_time"]
    assert events[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert events[-1]["kl"] > 0
    for name in ("entropy", "rewards/vowels/mean", "rewards/format/mean", "completions/mean_length", "reward_std"):
        assert name in events[0]
    lines = [json.loads(line) for line in (folder / "rollouts" / "00007.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * 8
    assert events[7]["reward"] == pytest.approx(sum(line["reward"] for line in lines) / 16, abs=1e-5)
    for line in lines:
        assert line["reward"] == pytest.approx(line["rewards"]["vowels"] + 0.01 * line["rewards"]["format"], abs=1e-5)
    assert not (folder / "partial").exists()
    drawn = re.findall(r'aria-label="([^"]+)"', (folder.parent / "report.html").read_text())
    names = [label.partition(",")[0].split()[0] for label in drawn]
    assert names[:2] == ["reward", "loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"num_iterations": 2, "steps_per_generation": 2, "beta": 0.1},
        pytest.param(
            {"num_iterations": 3, "lora": {"rank": 2, "dropout": 0.2}, "beta": 0.1, "kl_in": "reward"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"num_iterations": 2, "dynamic_sampling": 2, "temperature": 0.7, "freeze_layers": 1},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["full", "lora", "dynamic"],
)
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    """Killed in the middle of a rollout, after its first step, between two of them, and while one is being rewarded."""
    expected = products(trained(workshop(tmp_path / "whole", **options)))
    assert len(expected) >= 4
    recipe = workshop(tmp_path / "cut", **options)
    updates = options["num_iterations"] * options.get("steps_per_generation", 1)
    for step in (1, updates, updates + 1, updates + 2, 2 * updates):
        with pytest.raises(Killed):
            trained(recipe, KillingDisplay(step))
    fault = tmp_path / "cut" / "fail"
    for text, message in (
        ("", r"reward\.py: vowels fails for .*tasks\.jsonl:\d: RuntimeError: the power failed"),
        ("nan", r"judge 'vowels': nan for the answer '.*' to .*tasks\.jsonl:\d; return finite numbers"),
    ):
        fault.write_text(text)
        with pytest.raises(BurnishError, match=message):
            trained(recipe)
    fault.unlink()
    assert products(trained(recipe)) == expected


def test_a_reward_that_never_varies_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reward = {"type": "python", "file": "reward.py", "function": "nothing"}
    recipe = workshop(tmp_path, rewards=[reward], temperature=0.7)
    folder = trained(recipe, Display())
    assert "earned the same, so nothing was learned" in " ".join(capsys.readouterr().out.split())
    for event in read_events(folder):
        assert event["frac_reward_zero_std"] == 1
        assert event["sampling/sampling_logp_difference/mean"] < 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_generations": 1}, r"num_generations.*greater than or equal to 2|num_generations.*at least 2"),
        ({"rewards": []}, "rewards"),
        ({"rewards": [{"type": "format"}, {"type": "format"}]}, "there is a reward 'format' already"),
        ({"rewards": [{"type": "sqll"}]}, "sqll"),
        ({"rewards": [{"type": "python", "file": "rewards.py"}]}, r"no such file.*reward\.py"),
        ({"kl_in": "reward"}, "beta is 0"),
        ({"beta": 0.1, "kl_in": "reward", "use_bias_correction_kl": True}, "divergence in the loss"),
    ],
)
def test_mistakes_in_the_recipe_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        trained(workshop(tmp_path, **changes))


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ({"type": "numbers", "key": "total"}, r"tasks\.jsonl:1: 'total': no number in None"),
        ({"type": "python", "file": "reward.py"}, r"has no function 'reward'; it has: Path, nothing, vowels"),
        ({"type": "python", "file": "broken.py"}, r"broken\.py: fails when it is loaded: SyntaxError"),
    ],
)
def test_rewards_that_do_not_fit_are_named(tmp_path: Path, reward: dict[str, Any], message: str) -> None:
    recipe = workshop(tmp_path, rewards=[reward])
    (tmp_path / "broken.py").write_text("def reward(:")
    with pytest.raises((DataError, BurnishError), match=message):
        trained(recipe)


def test_prompts_that_leave_no_room_are_dropped_or_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has room for 6 beside an answer of max_new_tokens: 250"):
        trained(workshop(tmp_path, max_new_tokens=250))
