"""The experiment `search` as tables and plots."""

from collections.abc import Mapping, Sequence

from burnish.evaluation.statistics import paired_bootstrap_interval
from burnish.lab.reasoning.search_results import AGAIN, BEFORE, Results
from burnish.lab.reasoning.searching import METHODS
from burnish.lab.report import Cell, Panel, Table
from burnish.report.formatting import percent, signed
from burnish.terminal import printable


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _share(values: Sequence[float]) -> str | None:
    mean = _mean(values)
    return None if mean is None else percent(mean, 0)


def _difference(one: Sequence[float], other: Sequence[float], *, seed: int) -> str | None:
    """The 95 % interval of the second less the first, in points."""
    if not one:
        return None
    return " to ".join(signed(100 * bound, 0) for bound in paired_bootstrap_interval(one, other, seed=seed))


def findings_table(results: Results, *, seed: int) -> Table:
    """What was found, in sentences."""
    most = results.samples
    lines = []
    for method in METHODS:
        before, after = (results.passes(name, 1) for name in (BEFORE, method))
        before_most, after_most = (results.passes(name, most) for name in (BEFORE, method))
        lines.append(
            f"{method}: the share of right answers goes from {_share(before)} to {_share(after)} "
            f"({_difference(before, after, seed=seed)} points), pass@{most} from {_share(before_most)} to "
            f"{_share(after_most)} ({_difference(before_most, after_most, seed=seed)} points); first steps tried from "
            f"{results.mean(BEFORE, 'branches'):.1f} to {results.mean(method, 'branches'):.1f}."
        )
        lines.append(_beyond(results, method, seed=seed))
    grpo, online = (results.passes(method, 1) for method in METHODS)
    lines.append(f"Online RFT beside GRPO, with the same samples: {_difference(grpo, online, seed=seed)} points.")
    return Table("What was found", ["computed from the tables below"], [[line] for line in lines])


def _beyond(results: Results, method: str, *, seed: int) -> str:
    """Whether a method solves problems that samples of the model before did not."""
    again, after = results.new(AGAIN), results.new(method)
    if not after:
        return f"{method}: one of {results.samples} samples before solved every problem; nothing was left to find."
    low, high = paired_bootstrap_interval(again, after, seed=seed)
    held = (
        "reinforcement solves what the model did not"
        if low > 0
        else "it solves fewer than the model itself, asked again"
        if high < 0
        else "it is not decided that this is more than chance"
    )
    return (
        f"{method}: of {len(after)} problems that none of {results.samples} samples solved before, {int(sum(after))} "
        f"are solved by one of as many; the model before, asked again, solves {int(sum(again))} of them "
        f"({signed(100 * low, 0)} to {signed(100 * high, 0)} points): {held}."
    )


def policies_table(results: Results, note: str) -> Table:
    """Every policy on all problems and on the hard ones."""
    most = results.samples
    rows: list[list[Cell]] = []
    for name in results.policies:
        mean, spread = results.by_seed(name)
        rows.append(
            [
                name,
                percent(mean, 0),
                None if spread is None else f"{100 * spread:.0f}",
                *(_share(results.passes(name, k)) for k in results.ks[1:]),
                _share(results.passes(name, 1, hard=True)),
                _share(results.passes(name, most, hard=True)),
                results.mean(name, "branches"),
                percent(results.mean(name, "given_up"), 0),
                results.mean(name, "tokens"),
            ]
        )
    passes = [f"pass@{k}" for k in results.ks[1:]]
    columns = ["policy", "right", "±", *passes, "hard: right", f"hard: pass@{most}", "first steps tried", "no answer"]
    return Table("Held-out problems", [*columns, "tokens"], rows, note)


def solved_table(results: Results, *, seed: int) -> Table:
    """What became of the problems that no sample solved before, and of the others."""
    missed = results.missed()
    rows: list[list[Cell]] = []
    for name in (AGAIN, *METHODS):
        interval = None if name == AGAIN else _difference(results.new(AGAIN), results.new(name), seed=seed)
        rates = [right / results.samples for right in results.right_of_missed(name)]
        rows.append(
            [
                name,
                len(rates),
                int(sum(results.new(name))),
                _share(results.new(name)),
                interval,
                _share(rates),
                len(missed) - sum(missed),
                int(sum(results.lost(name))),
            ]
        )
    none = f"none of {results.samples} before"
    return Table(
        "Problems that no sample solved before",
        [
            *["policy", none, "solved now", "of them", "beside asking again, points", "right answers to them"],
            *["solved before", "of these lost"],
        ],
        rows,
        f"A problem is solved where one of {results.samples} samples is right. Counts are over the problems of all "
        "seeds: those that none solved before are of the further ones too, those that were solved are not. Intervals "
        "of 95 % over those that none solved before.",
    )


def examples_table(results: Results) -> Table:
    """Sampled answers to the same questions, of the first seed."""
    names = [BEFORE, *METHODS]
    columns = [results.policies[name][0].examples for name in names]
    return Table("Sampled answers", names, [list(map(printable, said)) for said in zip(*columns, strict=True)])


def curve_panels(curves: Mapping[str, Sequence[Mapping[str, Sequence[float]]]]) -> list[Panel]:
    """What each method logged, step by step: means over the seeds."""

    def line(seeds: Sequence[Mapping[str, Sequence[float]]], key: str) -> list[tuple[float, float]]:
        steps = zip(*(seed[key] for seed in seeds), strict=True)
        return [(float(step), sum(values) / len(values)) for step, values in enumerate(steps, 1)]

    shown = {
        "Reward": ("reward", "share right"),
        "First steps tried": ("branches", "first steps"),
        "Given up": ("given up", "share without an answer"),
        "Length": ("length", "tokens"),
    }
    return [
        Panel(title, "step", label, {name: line(seeds, key) for name, seeds in curves.items()})
        for title, (key, label) in shown.items()
    ]


def passes_panels(results: Results) -> list[Panel]:
    """pass@k of every policy, of all problems and, where there are any, of the hard ones."""

    def line(name: str, hard: bool) -> list[tuple[float, float]]:
        passes = {k: results.passes(name, k, hard=hard) for k in results.ks}
        return [(float(k), sum(values) / len(values)) for k, values in passes.items()]

    shown = {"pass@k": False} | ({"pass@k, hard problems": True} if results.passes(BEFORE, 1, hard=True) else {})
    return [
        Panel(
            title,
            "k",
            "share of problems solved",
            {name: line(name, hard) for name in (BEFORE, *METHODS)},
            log_x=True,
        )
        for title, hard in shown.items()
    ]
