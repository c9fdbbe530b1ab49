"""The experiments on additions as tables and plots."""

from collections.abc import Sequence
from functools import partial

from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.reasoning.arithmetic import Way
from burnish.lab.reasoning.reinforcing import Curves
from burnish.lab.reasoning.results import ByDigits, CaseResult, findings, passes, pooled
from burnish.lab.reasoning.setting import PolicyMeasures
from burnish.lab.report import Cell, Panel, Table
from burnish.report.formatting import percent
from burnish.terminal import printable

Curve = list[tuple[float, float]]


def findings_table(results: Sequence[CaseResult], ways: Sequence[Way], ks: Sequence[int], *, seed: int) -> Table:
    """What was found, in sentences."""
    lines = [line for result in results for line in findings(result, ways, ks, seed=seed)]
    return Table("What was found", ["computed from the tables below"], [[line] for line in lines])


def accuracy_table(results: Sequence[CaseResult], digits: Sequence[int], note: str, *, seed: int) -> Table:
    """pass@1 and length of every case, by digits."""
    rows: list[list[Cell]] = []
    for result in results:
        for count in digits:
            change = result.accuracy([count], seed=seed)
            _, spread = mean_and_deviation([policy[count].accuracy for policy in result.after])
            lengths = [mean_and_deviation(side)[0] for side in result.lengths([count])]
            trained = "yes" if count in result.case.digits else ""
            rows.append(
                [
                    result.case.name,
                    count,
                    trained,
                    percent(change.before, 0),
                    percent(change.after, 0),
                    None if spread is None else f"{100 * spread:.0f}",
                    change.points,
                    *lengths,
                ]
            )
    columns = ["trained on", "digits", "of it", "right before", "after", "± of seeds", "change, points"]
    return Table("Right answers by digits", [*columns, "tokens before", "tokens after"], rows, note)


def ways_table(results: Sequence[CaseResult], ways: Sequence[Way], digits: Sequence[int]) -> Table:
    """How often each way is taken, and how often it is right, before and after each case."""
    rows: list[list[Cell]] = []
    policies = [("nothing", results[0].before), *((result.case.name, result.after) for result in results)]
    for name, seeds in policies:
        for count in digits:
            cells: list[Cell] = []
            for way in ways:
                taken = pooled(seeds, count, partial(PolicyMeasures.share, way=way))
                right = pooled(seeds, count, partial(PolicyMeasures.accuracy_of, way=way))
                cells += [percent(taken or 0.0, 0), None if right is None else percent(right, 0)]
            rows.append([name, count, *cells])
    columns = [column for way in ways for column in (way, f"right {way}")]
    return Table(
        "The way of writing, by digits",
        ["trained on", "digits", *columns],
        rows,
        "Of all samples those that are written so, and of these those that are right: means over the seeds.",
    )


def passes_table(results: Sequence[CaseResult], digits: Sequence[int], ks: Sequence[int], *, seed: int) -> Table:
    """pass@k before and after."""
    rows: list[list[Cell]] = []
    for result in results:
        for count in digits:
            changes = [result.solved([count], k, seed=seed) for k in ks]
            rows.append(
                [
                    result.case.name,
                    count,
                    *(cell for one in changes for cell in (percent(one.before, 0), percent(one.after, 0))),
                    changes[-1].points,
                ]
            )
    columns = [column for k in ks for column in (f"pass@{k} before", f"pass@{k} after")]
    return Table(
        "Problems solved with k samples",
        ["trained on", "digits", *columns, f"change of pass@{max(ks)}, points"],
        rows,
        "The unbiased estimator (Chen 2021, arXiv:2107.03374); intervals over the problems of all seeds.",
    )


def examples_table(results: Sequence[CaseResult]) -> Table:
    """Sampled answers to the same questions, of the first seed."""
    rows: list[list[Cell]] = []
    for result in results:
        count = max(result.case.digits)
        pairs = zip(result.before[0][count].examples, result.after[0][count].examples, strict=True)
        rows += [[result.case.name, printable(before), printable(after)] for before, after in pairs]
    return Table("Sampled answers", ["trained on", "before", "after"], rows)


def panels(results: Sequence[CaseResult], ways: Sequence[Way], digits: Sequence[int], ks: Sequence[int]) -> list[Panel]:
    """Rewards, ways and lengths over time; accuracy and pass@k before and after."""
    found = [
        Panel("Reward", "step", "share right", {one.case.name: one.curve(lambda c: c.reward) for one in results}),
        Panel("Length", "step", "tokens", {one.case.name: one.curve(lambda c: c.length) for one in results}),
    ]
    for one in results:
        shares: dict[str, Curve] = {way: one.curve(partial(Curves.of_way, way=way)) for way in ways}
        found.append(Panel(f"Ways: {one.case.name}", "step", "share of answers", shares))
        if len(one.case.digits) > 1:
            lengths = {
                f"{count} digits": one.curve(partial(Curves.length_of, digits=count)) for count in one.case.digits
            }
            found.append(Panel(f"Length by difficulty: {one.case.name}", "step", "tokens", lengths))
    accuracy = {"before": [(float(count), pooled(results[0].before, count, lambda m: m.accuracy)) for count in digits]}
    accuracy |= {
        one.case.name: [(float(count), pooled(one.after, count, lambda m: m.accuracy)) for count in digits]
        for one in results
    }
    drawn = {name: [(x, y) for x, y in points if y is not None] for name, points in accuracy.items()}
    found.append(Panel("Right answers by digits", "digits", "share right", drawn))
    return [*found, *(_passes_panel(one, ks) for one in results)]


def _passes_panel(result: CaseResult, ks: Sequence[int]) -> Panel:
    """pass@k on what was trained."""

    def line(policies: Sequence[ByDigits]) -> list[tuple[float, float]]:
        points = []
        for k in ks:
            solved = [passes(policy[count], k) for policy in policies for count in result.case.digits]
            points.append((float(k), sum(map(sum, solved)) / sum(map(len, solved))))
        return points

    series = {"before": line(result.before), "after": line(result.after)}
    return Panel(f"pass@k: {result.case.name}", "k", "share of problems solved", series, log_x=True)
