"""The methods at an equal budget as tables and plots."""

from collections.abc import Sequence

from burnish.lab.reasoning.equal_budget_results import Difference, Results
from burnish.lab.reasoning.rivals import METHODS, Method, RivalSetting
from burnish.lab.report import Cell, Panel, Table
from burnish.report.formatting import percent, signed

HELD: dict[Method, str] = {
    "SFT": "policy",
    "RFT": "policy",
    "online RFT": "policy",
    "DPO": "policy; what the reference said, a number a token",
    "PPO": "policy, critic, reference",
    "GRPO": "policy, reference",
}
BYTES: dict[Method, int] = {"SFT": 16, "RFT": 16, "online RFT": 16, "DPO": 16, "PPO": 16 + 16 + 4, "GRPO": 16 + 4}
"""Of a parameter, with all that is held of it: what trains has a weight, a gradient and Adam's two moments."""
READS: dict[Method, str] = {
    "SFT": "right answers, written out",
    "RFT": "verdicts on the start's answers",
    "online RFT": "verdicts on its own answers",
    "DPO": "verdicts on the start's answers, as pairs",
    "PPO": "verdicts on its own answers",
    "GRPO": "verdicts on its own answers, in groups",
}


def tables_and_panels(results: Results, note: str) -> tuple[list[Table], list[Panel]]:
    """All of them."""
    tables = [findings_table(results), methods_table(results, note), cost_table(results), grid_table(results)]
    return tables, [*panels(results), costs_panel(results)]


def findings_table(results: Results) -> Table:
    """The claims, and what the numbers say of them."""
    stable = results.spread_difference("PPO", "DPO")
    better, average = (of("DPO", "PPO") for of in (results.best_difference, results.mean_difference))
    group = results.best_difference("GRPO", "PPO")
    online = results.best_difference("online RFT", "RFT")
    wrong = results.best_difference("GRPO", "online RFT")
    seconds = {method: results.mean(method, lambda one: one.seconds) for method in METHODS}
    lines = [
        f"That DPO is more stable than PPO {stable.verdict} here: over learning rate and β its accuracy deviates by "
        f"{_points(stable.other)} points, PPO's by {_points(stable.one)} (PPO's less DPO's: {_interval(stable)}); "
        f"{percent(results.worse('DPO'), 0)} of its runs end below the start, {percent(results.worse('PPO'), 0)} of "
        "PPO's.",
        f"DPO against PPO, each at its best: {_both(better)}; over the whole grid: {_both(average)}.",
        f"That GRPO makes more of a budget than PPO {group.verdict} here: {_both(group)}, each at its best. Its peak "
        f"of memory is {results.memory['GRPO'] / results.memory['PPO']:.2f} times PPO's, its time "
        f"{seconds['GRPO'] / seconds['PPO']:.2f} times.",
        f"That RFT does better online {online.verdict} here: {_both(online)}.",
        f"That what was wrong teaches, too, so that GRPO is better than online RFT, {wrong.verdict} here: "
        f"{_both(wrong)}.",
    ]
    return Table("What was found", ["computed from the tables below"], [[line] for line in lines])


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(difference: Difference) -> str:
    return " to ".join(signed(100 * bound, 0) for bound in difference.interval)


def _both(difference: Difference) -> str:
    return f"{percent(difference.one, 0)} right beside {percent(difference.other, 0)} ({_interval(difference)} points)"


def methods_table(results: Results, note: str) -> Table:
    """Accuracy of each method at its best and over its grid."""
    start = sum(one.accuracy for one in results.before) / len(results.before)
    rows: list[list[Cell]] = [["the start", None, percent(start, 0), *[None] * 6]]
    for method in METHODS:
        accuracy, of_seeds = results.accuracy(results.best[method])
        spread, interval = results.spread(method)
        grid = [results.accuracy(choice)[0] for choice in results.grid(method)]
        rows.append(
            [
                method,
                _setting(results.best[method]),
                percent(accuracy, 0),
                None if of_seeds is None else _points(of_seeds),
                percent(sum(grid) / len(grid), 0),
                percent(min(grid), 0),
                _points(spread),
                " to ".join(_points(bound) for bound in interval),
                percent(results.worse(method), 0),
            ]
        )
    columns = ["method", "best setting", "right", "± of seeds", "mean of the grid", "worst of it"]
    columns += ["± of the grid", "its interval", "runs below the start"]
    return Table("Accuracy at an equal budget", columns, rows, note)


def cost_table(results: Results) -> Table:
    """What each method reads, holds and takes."""
    rows: list[list[Cell]] = []
    for method in METHODS:
        seconds = results.mean(method, lambda one: one.seconds)
        sampling = results.mean(method, lambda one: one.sampling_seconds)
        rows.append(
            [
                method,
                READS[method],
                HELD[method],
                percent(results.mean(method, lambda one: one.budget_share), 0),
                seconds,
                percent(sampling / seconds, 0),
                results.mean(method, lambda one: float(one.steps)),
                results.memory[method] / 2**20,
                BYTES[method],
            ]
        )
    return Table(
        "What it takes",
        [
            "method",
            "reads",
            "holds",
            "of the budget",
            "CPU seconds",
            "of it sampling",
            "steps",
            "peak, MiB",
            "bytes a parameter",
        ],
        rows,
        "Means over the grid and the seeds. Spent: operations counted afterwards, 2 for each parameter and token "
        "forwards, 6 with the gradient. Peak: tensors at once in a short training, beyond the start's own weights; all "
        "with micro-batches of as many tokens. Bytes a parameter: weights, gradients and moments in float32, of all "
        "networks that are held; with large models they are what counts, here samples and activations are.",
    )


def grid_table(results: Results) -> Table:
    """Every setting."""
    rates = sorted({choice.learning_rate for choice in results.outcomes})
    rows: list[list[Cell]] = []
    for method in METHODS:
        for beta in dict.fromkeys(choice.beta for choice in results.grid(method)):
            cells: list[Cell] = [method, None if beta is None else f"{beta:g}"]
            for rate in rates:
                mean, spread = results.accuracy(RivalSetting(method=method, learning_rate=rate, beta=beta))
                cells.append(percent(mean, 0) + ("" if spread is None else f" ± {100 * spread:.0f}"))
            rows.append(cells)
    columns = ["method", "β", *(f"learning rate {rate:g}" for rate in rates)]
    return Table("Right answers by learning rate and β", columns, rows, "Means over the seeds ± their deviation.")


def panels(results: Results) -> list[Panel]:
    """Accuracy by learning rate: at the best β, and at the worst."""
    found = []
    for title, pick in (("at the best β", max), ("at the worst β", min)):
        series: dict[str, list[tuple[float, float]]] = {}
        for method in METHODS:
            by_rate: dict[float, list[float]] = {}
            for choice in results.grid(method):
                by_rate.setdefault(choice.learning_rate, []).append(results.accuracy(choice)[0])
            series[method] = [(rate, pick(values)) for rate, values in sorted(by_rate.items())]
        start = sum(one.accuracy for one in results.before) / len(results.before)
        references = {"the start": start}
        found.append(
            Panel(f"Accuracy {title}", "learning rate", "share right", series, log_x=True, references=references)
        )
    return found


def costs_panel(results: Results) -> Panel:
    """Seconds and accuracy of each method at its best."""
    series: dict[str, Sequence[tuple[float, float]]] = {
        method: [(results.mean(method, lambda one: one.seconds), results.accuracy(results.best[method])[0])]
        for method in METHODS
    }
    return Panel("Time at an equal budget of operations", "CPU seconds of a training", "share right", series)


def _setting(choice: RivalSetting) -> str:
    return f"{choice.learning_rate:g}" + ("" if choice.beta is None else f", β {choice.beta:g}")
