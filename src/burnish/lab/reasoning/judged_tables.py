"""Reward models at choosing and at reinforcing, as tables and plots."""

import math
from collections.abc import Mapping, Sequence

from burnish.evaluation.statistics import paired_bootstrap_interval
from burnish.lab.reasoning.overoptimization import Look
from burnish.lab.report import Cell, Panel, Table
from burnish.report.formatting import percent, signed
from burnish.terminal import printable

Chosen = Mapping[str, Mapping[str, Sequence[float]]]
"""Of each way of choosing, and each N as text, a number for each problem."""
SAYS = ": says"
"""Ends the name of what a judge itself says of the answers that it chooses."""


def tables_and_panels(
    chosen: Sequence[Chosen], looked: Mapping[str, Sequence[Sequence[Look]]], ns: Sequence[int], note: str, *, seed: int
) -> tuple[list[Table], list[Panel]]:
    """All of them; chosen, looked: seed by seed."""
    choosing, reinforced = Choosing(chosen, ns, seed), Reinforced(looked, seed)
    tables = [
        Table(
            "What was found",
            ["computed from the tables below"],
            [[line] for line in [*choosing.findings(), *reinforced.findings()]],
        ),
        choosing.table(note),
        reinforced.table(),
        reinforced.examples(),
    ]
    return tables, [choosing.panel(), choosing.panel(votes=True), *reinforced.panels(), choosing.proxy_panel()]


class Choosing:
    """One answer of N."""

    def __init__(self, chosen: Sequence[Chosen], ns: Sequence[int], seed: int) -> None:
        self._chosen, self._ns, self._seed = chosen, ns, seed
        self.ways = [way for way in chosen[0] if not way.endswith(SAYS)]
        self.judges = [way for way in self.ways if way + SAYS in chosen[0]]

    def _values(self, way: str, n: int) -> list[float]:
        return [value for seed in self._chosen for value in seed[way][str(n)]]

    def mean(self, way: str, n: int) -> float:
        """Over the problems of all seeds."""
        values = self._values(way, n)
        return sum(values) / len(values)

    def difference(self, one: str, other: str, n: int) -> tuple[float, float]:
        """The interval of `one` less `other`."""
        return paired_bootstrap_interval(self._values(other, n), self._values(one, n), seed=self._seed)

    def findings(self) -> list[str]:
        """Process against outcome, and learned against votes."""
        most = max(self._ns)
        orms = [way for way in self.judges if way.startswith("ORM")]
        prms = [way for way in self.judges if way.startswith("PRM") and "least" not in way]
        lines = []
        for orm, prm in zip(orms, prms, strict=True):
            lines.append(
                f"That process supervision chooses better than outcome supervision "
                f"{_verdict(self.difference(prm, orm, most))} with {orm.partition(', ')[2]}: of {most}, "
                f"{percent(self.mean(prm, most), 0)} right beside {percent(self.mean(orm, most), 0)} "
                f"({_points(self.difference(prm, orm, most))} points)."
            )
        best = max([way for way in self.ways if way not in ("rules", "votes")], key=lambda way: self.mean(way, most))
        against = self.difference(best, "votes", most)
        lines.append(
            f"Of {most} answers, votes alone come to {percent(self.mean('votes', most), 0)}; the best of the learned "
            f"ways, {best}, to {percent(self.mean(best, most), 0)} ({_points(against)} points), and the first answer "
            f"alone to {percent(self.mean('votes', 1), 0)}. A rule that knows the answer: "
            f"{percent(self.mean('rules', most), 0)}."
        )
        return lines

    def table(self, note: str) -> Table:
        """Accuracy by N."""
        rows: list[list[Cell]] = []
        most = max(self._ns)
        for way in self.ways:
            against = None if way == "votes" else _points(self.difference(way, "votes", most))
            rows.append([way, *(percent(self.mean(way, n), 0) for n in self._ns), against])
        columns = ["chosen by", *(f"N = {n}" for n in self._ns), f"beside votes, N = {most}, points"]
        return Table("One answer of N", columns, rows, note)

    def panel(self, *, votes: bool = False) -> Panel:
        """Accuracy by N of best-of-N, or of votes."""
        ways = [way for way in self.ways if way in ("votes", "rules") or ("votes" in way) == votes]
        series = {way: [(float(n), self.mean(way, n)) for n in self._ns] for way in ways}
        return Panel("Weighted votes" if votes else "Best of N", "N", "share right", series, log_x=True)

    def proxy_panel(self) -> Panel:
        """What judges say of the answers that they choose, beside what is right, by the KL of best-of-N."""
        series: dict[str, list[tuple[float, float]]] = {}
        for judge in self.judges:
            for label, way in ((f"{judge}: right", judge), (f"{judge}: says", judge + SAYS)):
                series[label] = [(math.sqrt(math.log(n) - (n - 1) / n), self.mean(way, n)) for n in self._ns]
        return Panel("Best of N: proxy and gold", "√KL", "probability", series)


class Reinforced:
    """Policies on their way."""

    def __init__(self, looked: Mapping[str, Sequence[Sequence[Look]]], seed: int) -> None:
        self._looked, self._seed = looked, seed

    def _mean(self, case: str, place: int, of: str) -> float:
        values = [float(getattr(looks[place], of)) for looks in self._looked[case]]
        return sum(values) / len(values)

    def _gold(self, case: str, place: int) -> list[float]:
        return [rate for looks in self._looked[case] for rate in looks[place].rates]

    def _peak(self, case: str) -> int:
        count = len(self._looked[case][0])
        return max(range(count), key=lambda place: self._mean(case, place, "gold"))

    def fall(self, case: str) -> tuple[float, float]:
        """The interval of the gold reward at the end less that at its peak."""
        return paired_bootstrap_interval(self._gold(case, self._peak(case)), self._gold(case, -1), seed=self._seed)

    def findings(self) -> list[str]:
        """Whether proxy and gold part company, case by case."""
        lines = []
        for case in self._looked:
            if case == "rules":
                continue
            gold = [self._mean(case, place, "gold") for place in (0, self._peak(case), -1)]
            proxy = [self._mean(case, place, "proxy") for place in (0, self._peak(case), -1)]
            fall = self.fall(case)
            hacked = "is exploited" if fall[1] < 0 and proxy[2] >= proxy[1] else "is not seen to be exploited"
            lines.append(
                f"RL by {case}: the proxy {hacked}. It goes from {proxy[0]:.2f} over {proxy[1]:.2f}, where most "
                f"answers are right, to {proxy[2]:.2f}; right are {percent(gold[0], 0)}, {percent(gold[1], 0)} and "
                f"{percent(gold[2], 0)} ({_points(fall)} points from the peak); by rules "
                f"{percent(self._mean('rules', -1, 'gold'), 0)}."
            )
        return lines

    def table(self) -> Table:
        """Start, peak and end of every case."""
        rows: list[list[Cell]] = []
        for case in self._looked:
            peak = self._peak(case)
            rows.append(
                [
                    case,
                    *(self._mean(case, place, "proxy") for place in (0, peak, -1)),
                    *(percent(self._mean(case, place, "gold"), 0) for place in (0, peak, -1)),
                    _points(self.fall(case)),
                    *(self._mean(case, place, "kl") for place in (peak, -1)),
                    *(self._mean(case, place, "length") for place in (0, -1)),
                ]
            )
        columns = [
            "reward",
            "proxy at the start",
            "at the peak",
            "at the end",
            "right at the start",
            "at the peak ",
            "at the end ",
        ]
        columns += [
            "end beside peak, points",
            "KL at the peak, nats",
            "KL at the end",
            "tokens at the start",
            "tokens at the end",
        ]
        return Table(
            "Reinforced by a proxy",
            columns,
            rows,
            "Proxy: what the reward says of an answer, a sum where steps are rewarded one by one. The peak is that of "
            "the right answers, the mean over the seeds: chosen after the fact, so that a small fall says nothing.",
        )

    def examples(self) -> Table:
        """An answer of the first seed at the end of each case."""
        rows: list[list[Cell]] = [[case, printable(looks[0][-1].example)] for case, looks in self._looked.items()]
        return Table("An answer at the end", ["reward", "question and answer"], rows)

    def panels(self) -> list[Panel]:
        """Proxy and gold by the distance from the start."""
        gold, proxy = (
            {
                case: [
                    (math.sqrt(max(0.0, self._mean(case, place, "kl"))), self._mean(case, place, of))
                    for place in range(len(looks[0]))
                ]
                for case, looks in self._looked.items()
                if of == "gold" or "sum" not in case
            }
            for of in ("gold", "proxy")
        )
        return [
            Panel("RL: gold", "√KL from the start", "share right", gold),
            Panel("RL: proxy", "√KL from the start", "what the reward says", proxy),
        ]


def _points(interval: tuple[float, float]) -> str:
    return " to ".join(signed(100 * bound, 0) for bound in interval)


def _verdict(interval: tuple[float, float]) -> str:
    return "holds" if interval[0] > 0 else "is reversed" if interval[1] < 0 else "is not decided"
