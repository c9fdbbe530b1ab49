"""What the experiments on forgetting found, as tables, plots and verdicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from burnish.lab.experiment import Findings
from burnish.lab.report import Cell, Panel, Table

if TYPE_CHECKING:
    from burnish.lab.forgetting.on_policy import PolicyPoint
    from burnish.lab.forgetting.replay import HeldOutLosses

ACCURACY = 0.9
"""Of the new task, at which routes are compared."""
NO_REMEDY = "none"


@dataclass(frozen=True)
class Spread:
    """A value with each of several seeds."""

    values: Sequence[float]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} ({min(self.values):.3f} to {max(self.values):.3f})"

    def against(self, other: "Spread") -> str:
        """Whether it is lower or higher than another, seed by seed; only where all of at least three seeds agree."""
        differences = [one - two for one, two in zip(self.values, other.values, strict=True)]
        if len(differences) < 3:
            return "too few seeds to tell"
        if all(difference < 0 for difference in differences):
            return "less in every seed"
        return "more in every seed" if all(difference > 0 for difference in differences) else "not alike in all seeds"


def replay(
    before: Sequence["HeldOutLosses"], after: Mapping[str, Sequence["HeldOutLosses"]], note: str, command: str
) -> Findings:
    """Losses before and after each remedy, what each costs on the domain and keeps of general text."""
    forgot = {name: _spread(before, of_name, lambda one: one.general) for name, of_name in after.items()}
    learned = {name: _spread(before, of_name, lambda one: -one.domain) for name, of_name in after.items()}
    moved = {name: Spread([one.kl for one in of_name]) for name, of_name in after.items()}
    rows: list[list[Cell]] = []
    for name in after:
        own = name == NO_REMEDY
        rows.append(
            [
                name,
                str(forgot[name]),
                "" if own else forgot[name].against(forgot[NO_REMEDY]),
                str(learned[name]),
                "" if own else learned[name].against(learned[NO_REMEDY]),
                str(moved[name]),
            ]
        )
    columns = [
        "remedy",
        "forgotten: rise of the loss on prose",
        "than without",
        "learned: fall of the loss on code",
        "than without",
        "KL(start, model) on code",
    ]
    general = Spread([one.general for one in before])
    domain = Spread([one.domain for one in before])
    said = f"Before: {general} nats a token on prose, {domain} on code. "
    points = [(moved[name].mean, forgot[name].mean) for name in after]
    rank = rank_correlation(*zip(*points, strict=True)) if len(points) > 2 else None
    lines = _kept(forgot, learned)
    if rank is not None:
        lines.append(
            f"Over the remedies the rank correlation of KL on the new text with what is forgotten is {rank:.2f}: "
            + ("forgetting follows it." if rank > 0.8 else "that is not all that forgetting goes by.")
        )
    return Findings(
        [
            Table("What was found", ["computed from the table below"], [[line] for line in lines]),
            Table("Remedies against forgetting", columns, rows, said + note),
        ],
        [
            Panel(
                "Learned against forgotten",
                "fall of the loss on code, nats",
                "rise of the loss on prose, nats",
                {name: [(learned[name].mean, forgot[name].mean)] for name in after},
            ),
            Panel(
                "Divergence against forgotten",
                "KL(start, model) on code, nats",
                "rise of the loss on prose, nats",
                {name: [(moved[name].mean, forgot[name].mean)] for name in after},
            ),
        ],
        {"seeds": len(before), "command": f"{command} --seeds {len(before)}"},
    )


def _spread(
    before: Sequence["HeldOutLosses"], after: Sequence["HeldOutLosses"], of: Callable[["HeldOutLosses"], float]
) -> Spread:
    return Spread([of(two) - of(one) for one, two in zip(before, after, strict=True)])


def _kept(forgot: Mapping[str, Spread], learned: Mapping[str, Spread]) -> list[str]:
    """Of each remedy the share of the forgetting that it avoids, and of the learning that it costs."""
    whole, gain = forgot[NO_REMEDY].mean, learned[NO_REMEDY].mean
    lines = [f"Without a remedy the loss on prose changes by {whole:+.3f} nats, that on code by {-gain:+.3f}."]
    if whole <= 0 or gain <= 0:
        return [*lines, "Nothing was forgotten, or nothing learned, so no remedy can be told from another."]
    for name in forgot:
        if name != NO_REMEDY:
            lines.append(
                f"{name}: avoids {1 - forgot[name].mean / whole:.0%} of the forgetting "
                f"({forgot[name].against(forgot[NO_REMEDY])}), and has {learned[name].mean / gain:.0%} of the learning."
            )
    return lines


def on_policy(
    starts: Sequence["PolicyPoint"],
    curves: Mapping[str, Sequence[Sequence["PolicyPoint"]]],
    kinds: Mapping[str, Sequence[str]],
    command: str,
) -> Findings:
    """Routes at equal accuracy, and forgetting against divergence over all points of all routes."""
    at = {name: [first_at(curve, ACCURACY) for curve in of_seeds] for name, of_seeds in curves.items()}
    rows: list[list[Cell]] = []
    for name, points in at.items():
        there = [(start, point) for start, point in zip(starts, points, strict=True) if point is not None]
        cells: list[Cell] = [name, f"{len(there)} of {len(points)}"]
        if there:
            cells += [
                str(Spread([float(point.step) for _, point in there])),
                str(Spread([point.kl for _, point in there])),
                str(Spread([point.old_loss - start.old_loss for start, point in there])),
                str(Spread([100 * (point.old - start.old) for start, point in there])),
            ]
        rows.append([*cells, *([None] * (6 - len(cells)))])
    lines = [*_by_divergence(starts, curves), *_reinforced(starts, at, kinds)]
    scatter = {
        kind: [
            (point.kl, point.old_loss - start.old_loss)
            for name in names
            for start, curve in zip(starts, curves[name], strict=True)
            for point in curve
        ]
        for kind, names in kinds.items()
    }
    frontier = {name: [(point.accuracy, point.old_loss) for point in of_seeds[0]] for name, of_seeds in curves.items()}
    begin = Spread([start.accuracy for start in starts])
    old = Spread([100 * start.old for start in starts])
    note = (
        f"Before: {begin} probability of a right parity, {old} % of the additions right. Each route is taken where the "
        f"new task's accuracy is first at least {ACCURACY:g}. Means of the seeds that come there, and between brackets "
        "the smallest and the largest."
    )
    columns = ["route, rate", "seeds that come there", "steps", "KL(start, policy)", "rise of the old loss"]
    return Findings(
        [
            Table("What was found", ["computed from the points of all routes"], [[line] for line in lines]),
            Table("At equal accuracy on the new task", [*columns, "additions, points"], rows, note),
        ],
        [
            Panel(
                "Forgetting against divergence",
                "KL(start, policy) on the new task, nats",
                "rise of the old loss",
                scatter,
            ),
            Panel("One seed's routes", "accuracy of the new task", "loss on the old task, nats a token", frontier),
        ],
        {"seeds": len(starts), "command": f"{command} --seeds {len(starts)}"},
    )


def first_at(curve: Sequence["PolicyPoint"], accuracy: float) -> "PolicyPoint | None":
    """The first point of a route with at least this accuracy."""
    return next((point for point in curve if point.accuracy >= accuracy), None)


def _by_divergence(
    starts: Sequence["PolicyPoint"], curves: Mapping[str, Sequence[Sequence["PolicyPoint"]]]
) -> list[str]:
    """How well KL on the new task, in each direction, tells forgetting, over all points of a seed."""
    lines = []
    measures: dict[str, Callable[[PolicyPoint], float]] = {
        "KL(start, policy)": lambda point: point.kl,
        "KL(policy, start)": lambda point: point.back,
        "accuracy of the new task": lambda point: point.accuracy,
    }
    for name, of in measures.items():
        fits, ranks = [], []
        for number, start in enumerate(starts):
            points = [point for of_seeds in curves.values() for point in of_seeds[number]]
            forgot = [point.old_loss - start.old_loss for point in points]
            fits.append(explained([of(point) for point in points], forgot))
            ranks.append(rank_correlation([of(point) for point in points], forgot))
        lines.append(f"{name} tells forgetting: R² of a parabola {Spread(fits)}, rank correlation {Spread(ranks)}.")
        if name == "KL(start, policy)":
            holds = "holds here" if min(fits) >= 0.8 else "holds in part" if min(fits) >= 0.5 else "does not hold here"
            lines.append(f"The claim that forgetting follows KL on the new task, whatever the method, {holds}.")
    return lines


def _reinforced(
    starts: Sequence["PolicyPoint"],
    at: Mapping[str, Sequence["PolicyPoint | None"]],
    kinds: Mapping[str, Sequence[str]],
) -> list[str]:
    """Whether GRPO forgets less than each kind of SFT at equal accuracy, at the rate with which each forgets least."""
    best: dict[str, list[float | None]] = {}
    for kind, names in kinds.items():
        best[kind] = []
        for number, start in enumerate(starts):
            found = [point.old_loss - start.old_loss for name in names if (point := at[name][number]) is not None]
            best[kind].append(min(found) if found else None)
    lines = []
    for kind, values in best.items():
        if kind == "GRPO" or "GRPO" not in best:
            continue
        pairs = [
            (ours, theirs) for ours, theirs in zip(best["GRPO"], values, strict=True) if None not in (ours, theirs)
        ]
        if not pairs:
            lines.append(f"GRPO against {kind}: not both come to an accuracy of {ACCURACY:g}.")
            continue
        ours, theirs = (Spread([float(pair[side] or 0.0) for pair in pairs]) for side in (0, 1))
        lines.append(f"GRPO forgets {ours} nats, {kind} {theirs}, at equal accuracy: {ours.against(theirs)}.")
    return lines


def explained(x: Sequence[float], y: Sequence[float]) -> float:
    """R² of the parabola of least squares, as the paper fits it; 0 where there is nothing to explain."""
    if len(x) < 4 or np.ptp(y) == 0:
        return 0.0
    residual = np.asarray(y) - np.polyval(np.polyfit(x, y, 2), x)
    return float(1 - (residual**2).sum() / ((np.asarray(y) - np.mean(y)) ** 2).sum())


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's correlation; 0 where one side is constant."""
    first, second = (np.argsort(np.argsort(side)).astype(float) for side in (x, y))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
