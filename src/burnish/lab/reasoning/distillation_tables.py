"""The tables and plots of the experiment `distillation`."""

from collections.abc import Sequence

from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.reasoning.distillation_results import START, TEACHER, Results
from burnish.lab.reasoning.routes import RL, TAUGHT
from burnish.lab.report import Cell, Panel, Table
from burnish.report.formatting import percent
from burnish.terminal import printable

_BEGUN = 0.05
"""A student that gets less than this right has nothing to be reinforced."""


def findings_table(results: Results, *, most: int, seed: int) -> Table:
    """The claim, route by route; what RL made of pass@k, and whether the student could begin."""
    start = mean_and_deviation(results.starts)[0]
    lines = [
        f"The student starts with {percent(start, 0)} right of the problems that it learns from"
        + (": too little to be reinforced." if start < _BEGUN else ".")
    ]
    for route in (RL, *TAUGHT):
        solves = results.solves(route, most, seed=seed)
        lines.append(f"{route}: right answers go {results.gained(route, seed=seed)}, pass@{most} {solves}.")
    for route in TAUGHT:
        better = results.better(route, seed=seed)
        held = "holds" if better.grew else "is reversed" if better.shrank else "is not decided"
        lines.append(
            f"That a student is better taught than reinforced by itself, at equal operations, {held} here for "
            f"{route}: {percent(better.after, 0)} right beside {percent(better.before, 0)} ({better.points} points)."
        )
    return Table("What was found", ["computed from the tables below"], [[line] for line in lines])


def routes_table(results: Results, *, most: int, note: str, seed: int) -> Table:
    """Every policy on the digits that were learned."""
    rows: list[list[Cell]] = []
    for name in results.policies:
        mean, spread = results.accuracy(name)
        solved = results.passes(name, most)
        gone = results.gone.get(name, ())
        rows.append(
            [
                name,
                percent(mean, 0),
                None if spread is None else percent(spread, 0),
                results.better(name, seed=seed).points if name in TAUGHT else None,
                percent(sum(solved) / len(solved), 0),
                results.length(name),
                ", ".join(f"{one.learning_rate:g}" for one in gone) or None,
                sum(one.operations for one in gone) / len(gone) / 1e12 if gone else None,
            ]
        )
    digits = ", ".join(map(str, results.digits))
    return Table(
        "At equal operations",
        [
            *["policy", "right", "±", "beside RL, points", f"pass@{most}", "tokens"],
            *["learning rate, by seed", "10¹² operations"],
        ],
        rows,
        f"Held-out additions of {digits} digits, means over the seeds, ± their deviation; intervals of 95 % over the "
        "problems of all seeds. Operations: 2 for each parameter and token forwards, 6 with the gradient; those of "
        f"the teacher's making are left out. {note}",
    )


def passes_table(results: Results, ks: Sequence[int]) -> Table:
    """pass@k of every policy, by k."""
    rows: list[list[Cell]] = []
    for name in results.policies:
        passes = [results.passes(name, k) for k in ks]
        rows.append([name, *(percent(sum(one) / len(one), 0) for one in passes)])
    return Table("Problems solved with k samples", ["policy", *(f"pass@{k}" for k in ks)], rows)


def examples_table(results: Results) -> Table:
    """Sampled answers to the same questions, of the first seed."""
    digits = max(results.digits)
    rows: list[list[Cell]] = [
        [name, *map(printable, policies[0][digits].examples)] for name, policies in results.policies.items()
    ]
    n = len(results.policies[START][0][digits].examples)
    return Table("Sampled answers", ["policy", *(f"question {number + 1}" for number in range(n))], rows)


def digits_panel(results: Results) -> Panel:
    """Right answers by digits, of every policy."""
    series = {}
    for name, policies in results.policies.items():
        series[name] = [
            (float(digits), sum(policy[digits].accuracy for policy in policies) / len(policies))
            for digits in policies[0]
        ]
    return Panel("Right answers by digits", "digits", "share right", series)


def passes_panel(results: Results, ks: Sequence[int]) -> Panel:
    """pass@k on the digits that were learned."""
    series = {}
    for name in (START, TEACHER, RL, *TAUGHT):
        series[name] = [(float(k), sum(passes := results.passes(name, k)) / len(passes)) for k in ks]
    return Panel("pass@k", "k", "share of problems solved", series, log_x=True)
