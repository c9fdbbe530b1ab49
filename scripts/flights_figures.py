"""Print README's figures of the flights example from a finished run.

    python scripts/flights_figures.py runs/flights

Accuracy of each model on each set of questions with 95 % bootstrap intervals, and the paired differences between
models, from the answers that the evaluate stage has kept; pairs, perplexities, time and memory from summary.json.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

MODELS = ("base", "sft", "dpo", "final")
PAIRED = (("sft", "dpo"), ("dpo", "final"), ("sft", "final"))
SETS = {
    "own words": {"own_words"},
    "composed": {"composed"},
    "templates": {"seen", "unseen"},
    "unseen": {"unseen"},
    "all": {"own_words", "composed", "seen", "unseen"},
}
RESAMPLES = 4000


def main() -> None:
    run = Path(sys.argv[1])
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    stage = run / next(stage["folder"] for stage in summary["stages"] if stage["type"] == "evaluate")
    answers = {model: _rows(stage / f"answers-{model}.jsonl") for model in MODELS}
    for model, rows in answers.items():
        cells = [_figure([int(row["correct"]) for row in rows if row["group"] in groups]) for groups in SETS.values()]
        print(f"{model}: " + ", ".join(f"{name} {cell}" for name, cell in zip(SETS, cells, strict=True)))
    for before, after in PAIRED:
        for name, groups in SETS.items():
            pairs = zip(answers[before], answers[after], strict=True)
            changes = [int(new["correct"]) - int(old["correct"]) for old, new in pairs if old["group"] in groups]
            gained, lost = changes.count(1), changes.count(-1)
            print(f"{after} over {before}, {name}: {_figure(changes, signed=True)}, {gained} gained, {lost} lost")
    print({key: summary.get(key) for key in ("perplexity", "pairs", "wall_seconds", "peak_rss_gib")})


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _figure(values: list[int], *, signed: bool = False) -> str:
    """The mean in percent with its bootstrap interval."""
    rng = random.Random(1)
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(RESAMPLES))
    low, high = means[RESAMPLES // 40], means[-RESAMPLES // 40]
    form = "+.1f" if signed else ".1f"
    return f"{100 * sum(values) / len(values):{form}} ({100 * low:{form}} to {100 * high:{form}})"


if __name__ == "__main__":
    main()
