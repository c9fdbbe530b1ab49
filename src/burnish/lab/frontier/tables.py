"""The results of `burnish lab frontier` as tables and plots."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from burnish.lab.frontier.methods import Method
from burnish.lab.frontier.results import BEST_OF, ERRORS, GRID, NEARLY_ALL, Point, Results, findings
from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.report import Cell, Panel, Table
from burnish.report.formatting import percent
from burnish.terminal import printable

BUDGETS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Divergences, in nats, at which the frontiers are read."""


def tables(results: Results, evaluated: Mapping[Method, Sequence[str]], note: str) -> list[Table]:
    """All that was found. evaluated: what each evaluation of a method is called, such as "12 of 24 steps"."""
    return [
        findings_table(results),
        outcome_table(results, evaluated, note),
        frontier_table(results),
        comparison_table(results),
        example_table(results),
    ]


def findings_table(results: Results) -> Table:
    return Table("What was found", ["computed from the tables below"], [[line] for line in findings(results)])


def outcome_table(results: Results, evaluated: Mapping[Method, Sequence[str]], note: str) -> Table:
    """Every point of the plot."""
    reference = results.reference
    rows: list[list[Cell]] = [["reference", "", "", 0.0, None, reference.reward, reference.reward_error, None, None]]
    for (method, setting, number), outcomes in results.grouped().items():
        kl, reward = (mean_and_deviation([getattr(o, name) for o in outcomes]) for name in ("kl", "reward"))
        positive = percent(sum(o.positive for o in outcomes) / len(outcomes), 0)
        tokens = sum(o.tokens for o in outcomes) / len(outcomes)
        rows.append([method, setting, evaluated[method][number], *kl, *reward, positive, tokens])
    for best in results.best:
        if best.n > 1:
            rows.append([BEST_OF, f"N = {best.n}", "", best.kl, None, best.reward, best.reward_error, None, None])
    columns = ["method", "setting", "after", "KL, nats", "±", "reward", "± ", "positive", "tokens"]
    return Table("Reward against KL", columns, rows, note)


def frontier_table(results: Results) -> Table:
    """The frontiers read at some divergences, and how far each goes."""
    rows: list[list[Cell]] = []
    for method in (*results.methods, BEST_OF):
        frontiers = [results.frontier(method, seed) for seed in results.seeds]
        reach = sum(f.reach for f in frontiers) / len(frontiers)
        at = [sum(f(kl) for f in frontiers) / len(frontiers) if kl <= reach else None for kl in BUDGETS]
        highest = sum(f(math.inf) for f in frontiers) / len(frontiers)
        rows.append([method, *at, highest, reach])
    return Table(
        "Frontiers: the most reward within a divergence",
        ["method", *(f"{kl:g} nats" for kl in BUDGETS), "highest", "at nats"],
        rows,
        "Means over the seeds of each seed's concave hull. Nothing where the hull ends before.",
    )


def comparison_table(results: Results) -> Table:
    rows: list[list[Cell]] = []
    for comparison in results.comparisons():
        reach, _ = mean_and_deviation(comparison.reach)
        share, _ = mean_and_deviation(comparison.above)
        rows.append(
            [
                comparison.other,
                reach,
                percent(share, 0),
                *mean_and_deviation(comparison.difference),
                comparison.error,
                f"DPO {comparison.verdict}",
            ]
        )
    return Table(
        "DPO's frontier beside the others",
        ["other", "up to, nats", "DPO above", "mean difference", "over seeds ±", "error", "verdict"],
        rows,
        f"The error is that of the points, as their samples say. A verdict needs {ERRORS:g} errors, and all seeds: DPO "
        f"dominates where it is above on {percent(NEARLY_ALL, 0)} of the range in each, else it is higher on average.",
    )


def example_table(results: Results) -> Table:
    """One continuation of the same held-out opening by each method's policy of the highest reward."""
    rows: list[list[Cell]] = []
    for method in results.methods:
        of_method = [(o, run) for run, outcomes in results.outcomes.items() if run.method == method for o in outcomes]
        outcome, run = max(of_method, key=lambda pair: pair[0].reward)
        text = printable(outcome.example).replace("\n", " ")
        rows.append([method, run.setting, outcome.kl, outcome.reward, text])
    return Table(
        "A continuation by the policy of each method that earns most",
        ["method", "setting", "KL, nats", "reward", "opening and continuation"],
        rows,
    )


def panels(results: Results) -> list[Panel]:
    """Figure 2 of the paper: means over the seeds, with their deviations (of one seed, the errors); and frontiers."""
    series: dict[str, list[Point]] = {}
    errors: dict[str, list[Point]] = {}
    for (method, _, _), outcomes in sorted(
        results.grouped().items(), key=lambda item: sum(o.kl for o in item[1]) / len(item[1])
    ):
        kl, reward = (mean_and_deviation([getattr(o, name) for o in outcomes]) for name in ("kl", "reward"))
        series.setdefault(method, []).append((kl[0], reward[0]))
        first = outcomes[0]
        errors.setdefault(method, []).append(
            (first.kl_error if kl[1] is None else kl[1], first.reward_error if reward[1] is None else reward[1])
        )
    series[BEST_OF] = [(best.kl, best.reward) for best in results.best]
    errors[BEST_OF] = [(0.0, best.reward_error) for best in results.best]
    x, y = "KL(π ∥ π_ref), nats", "expected reward"
    reference = {"reference": results.reference.reward}
    return [
        Panel("Every policy, mean over seeds", x, y, series, references=reference, errors=errors),
        Panel("Frontiers", x, y, {m: mean_frontier(results, m) for m in series}, references=reference),
    ]


def mean_frontier(results: Results, method: str) -> list[Point]:
    """The mean over the seeds of their frontiers, up to where the shortest of them ends."""
    frontiers = [results.frontier(method, seed) for seed in results.seeds]
    grid = np.linspace(0, min(f.reach for f in frontiers), GRID // 4 + 1)
    return [(float(kl), sum(f(float(kl)) for f in frontiers) / len(frontiers)) for kl in grid]
