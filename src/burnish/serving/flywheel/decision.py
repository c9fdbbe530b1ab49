"""Whether the candidate of a round is promoted.

Three conditions, each computed from what the round's stages have kept, and all of them needed:

1. better on the test: the mean over tasks is higher, and a paired permutation test gives at most `p`;
2. nothing forgotten: on every text that the corpus of the evaluation holds out, the 95 % interval of the perplexity's
   relative change stays below `max_forgetting`. That is a test of non-inferiority: too little text to tell is a reason
   against the candidate, not for it;
3. not against the judgements: where the round compares held-out pairs, the candidate's implicit reward over the model
   in force does not rank significantly less than half of them right.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError, DataError
from burnish.evaluation.statistics import paired_bootstrap_interval, paired_permutation_test
from burnish.files import open_regular
from burnish.runs.folder import read_object
from burnish.runs.names import ANSWERS_PREFIX, COMPARISON_FILE, RESULTS_FILE
from burnish.serving.flywheel.settings import Promotion

CURRENT, CANDIDATE = "current", "candidate"
"""Labels of the two models in the round's evaluation."""


@dataclass(frozen=True)
class Decision:
    """What was measured, and why the candidate is not promoted; with no reason against it, it is."""

    against: tuple[str, ...]
    measured: Mapping[str, Any]

    @property
    def promoted(self) -> bool:
        return not self.against

    def but(self, reason: str) -> "Decision":
        """The same with a further reason against the candidate."""
        return Decision((*self.against, reason), self.measured)

    def row(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"promoted": self.promoted, "against": list(self.against), **self.measured}


def decide(evaluation: Path, comparison: Path | None, promotion: Promotion, *, seed: int) -> Decision:
    """Decide on a finished round.

    evaluation: the folder of its `evaluate` stage. comparison: that of its `compare` stage, if it has one.

    Raises DataError where the folders do not hold what is to be compared.
    """
    test = _test(evaluation, seed)
    against = []
    if test["difference"] <= 0 or test["p"] > promotion.p:
        against.append(
            f"not shown to be better: {100 * test['difference']:+.1f} points on {test['tasks']:,} tasks "
            f"({100 * test['interval'][0]:+.1f} to {100 * test['interval'][1]:+.1f}), p = {test['p']:.3f}, "
            f"needed at most {promotion.p:g}"
        )
    measured: dict[str, Any] = {"test": test}
    forgetting = _forgetting(evaluation)
    if forgetting:
        measured["perplexity_change"] = forgetting
        against += [
            f"may have forgotten: perplexity of {group} text {100 * low:+.1f} to {100 * high:+.1f} %, allowed "
            f"{100 * promotion.max_forgetting:+.1f} %"
            for group, (low, high) in forgetting.items()
            if high > promotion.max_forgetting
        ]
    if comparison is not None:
        ranked = _ranked(comparison)
        measured["heldout_pairs"] = ranked
        if ranked is not None and ranked["interval"][1] < 0.5:
            against.append(
                f"against the judgements: ranks {100 * ranked['value']:.0f} % of {ranked['count']:,} held-out pairs "
                "right"
            )
    return Decision(tuple(against), measured)


def _test(folder: Path, seed: int) -> dict[str, Any]:
    """The difference of the two models on the tasks that both answered."""
    values = {label: _values(folder / f"{ANSWERS_PREFIX}{label}.jsonl") for label in (CURRENT, CANDIDATE)}
    before, after = values[CURRENT], values[CANDIDATE]
    if len(before) != len(after) or not before:
        raise DataError(f"{folder}: {len(before):,} and {len(after):,} answers; the two models answered other tasks")
    mean = {label: sum(found) / len(found) for label, found in values.items()}
    return {
        "tasks": len(before),
        **mean,
        "difference": mean[CANDIDATE] - mean[CURRENT],
        "interval": list(paired_bootstrap_interval(before, after, seed=seed)),
        "p": paired_permutation_test(before, after, seed=seed),
        "gained": sum(one < other for one, other in zip(before, after, strict=True)),
        "lost": sum(one > other for one, other in zip(before, after, strict=True)),
    }


def _values(file: Path) -> list[float]:
    """What each answer is worth: right or wrong, else its score."""
    try:
        with open_regular(file) as opened:
            rows = [json.loads(line) for line in opened.read().splitlines()]
        return [float(row["score"] if row.get("correct") is None else row["correct"]) for row in rows]
    except (BurnishError, OSError, ValueError, TypeError, LookupError) as error:
        raise DataError(f"{file}: no answers with their judgements: {error}") from error


def _forgetting(folder: Path) -> dict[str, tuple[float, float]]:
    """By group of held-out text, the interval of the perplexity's relative change; infinite where none can be drawn."""
    results = read_object(folder / RESULTS_FILE) or {}
    intervals = results.get("perplexity_change", {})
    unknown = (-float("inf"), float("inf"))
    return {
        group: tuple(intervals.get(group, {}).get(CANDIDATE, unknown))
        for group in results.get("perplexity_by_model", {})
    }


def _ranked(folder: Path) -> dict[str, Any] | None:
    """How many held-out pairs the candidate ranks right; None where there were none."""
    found = (read_object(folder / COMPARISON_FILE) or {}).get("pairs_ranked_right", {}).get(CANDIDATE)
    return None if found is None else {key: found[key] for key in ("value", "interval", "count")}
