"""What decoders and losses came to in `burnish lab dpo`, as tables and plots."""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.lab.dpo.learner import LEAST_BATCH, STEPS
from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.report import Cell, Panel, Table
from burnish.report.formatting import percent

REACHED = 0.95
"""The promise is kept where so much of what can be gained is gained, by each seed."""


@dataclass(frozen=True)
class Learned:
    """What decoders are like, seed by seed: see `outcome_of`. amount: pairs that were sampled, or steps with all."""

    beta: float
    amount: int
    outcomes: Sequence[dict[str, float]]

    def of(self, name: str) -> list[float]:
        return [outcome[name] for outcome in self.outcomes]


@dataclass(frozen=True)
class Certain:
    """How far a loss has taken the policy from the reference after so many steps, where preferences are certain.

    limit: as far as a policy is that only ever says the best answer. All are KL(π ∥ π_ref), the mean over prompts.
    """

    loss: str
    beta: float
    steps: Sequence[int]
    divergences: Sequence[float]
    limit: float


def verdict_table(exact: Sequence[Learned], rows: Sequence[Learned]) -> Table:
    """What was found, computed from the tables below it."""
    steps, most = exact[-1].amount, rows[-1].amount
    of_all, of_pairs = (
        min(value for row in found if row.amount == amount for value in row.of("gained"))
        for found, amount in ((exact, steps), (rows, most))
    )
    held, sampled = ("is kept" if least >= REACHED else "is not kept" for least in (of_all, of_pairs))
    lines = [
        f"DPO on Bradley-Terry preferences reaches π*: the promise {held} by a decoder that learns from all pairs. Of "
        f"what equation 3 gains it has {percent(of_all, 1)} or more after {steps:,} steps "
        f"({len(exact[0].outcomes)} seeds, every β).",
        f"With {most:,} sampled pairs, each seen once, the promise {sampled}: {percent(of_pairs, 1)} or more.",
    ]
    for beta in dict.fromkeys(row.beta for row in rows):
        of_beta = [row for row in rows if row.beta == beta]
        first, last = (mean_and_deviation(row.of("divergence"))[0] for row in (of_beta[0], of_beta[-1]))
        lines.append(
            f"β = {beta:g}: KL(π* ∥ π_θ) falls from {mean_and_deviation(of_beta[0].of('before'))[0]:.3g} before to "
            f"{first:.3g} with {of_beta[0].amount:,} pairs and {last:.3g} with {of_beta[-1].amount:,}."
        )
    return Table("What was found", ["computed from the tables below"], [[line] for line in lines])


def exact_table(rows: Sequence[Learned], seeds: int) -> Table:
    """The decoders that learned from all pairs, by β and steps."""
    return Table(
        "A decoder trained by equation 7 over all pairs",
        ["β", "steps", *_COLUMNS],
        _cells(rows),
        f"Means over {seeds} seeds, ± is their deviation. Every step has all ordered pairs of answers, "
        "each weighing as much as it is drawn from π_ref and preferred by equation 1: the gradient of "
        "infinitely many sampled pairs.",
    )


_COLUMNS = ["KL(π* ∥ π_ref)", "KL(π* ∥ π_θ)", "±", "gained", "± ", "error of r̂", "±  "]


def learned_table(rows: Sequence[Learned], seeds: int) -> Table:
    """The decoders that learned from sampled pairs, by β and pairs."""
    return Table(
        "A decoder trained by the `dpo` method on sampled pairs",
        ["β", "pairs", *_COLUMNS],
        _cells(rows),
        f"Means over {seeds} seeds, each of rewards, reference, pairs and order; ± is their deviation. Each "
        f"pair is seen once, in {STEPS} steps, or fewer of {LEAST_BATCH} pairs. Gained: of equation 3's value, from "
        "π_ref to π*. Error of r̂: the standard deviation, under π*, of β log π_θ/π_ref beside equation 8's reward.",
    )


def _cells(rows: Sequence[Learned]) -> list[list[Cell]]:
    cells: list[list[Cell]] = []
    for row in rows:
        gained, spread = mean_and_deviation(row.of("gained"))
        numbers = [mean_and_deviation(row.of(name)) for name in ("before", "divergence", "error")]
        cells.append(
            [
                row.beta,
                row.amount,
                numbers[0][0],
                *numbers[1],
                percent(gained, 1),
                "–" if spread is None else percent(spread, 1),
                *numbers[2],
            ]
        )
    return cells


def certain_table(found: Sequence[Certain]) -> Table:
    """Both losses, with each β."""
    return Table(
        "Where the theory does not hold: preferences that are certain",
        ["loss", "β", *(f"{steps:,} steps" for steps in found[0].steps), "only the best answer"],
        [[one.loss, one.beta, *one.divergences, one.limit] for one in found],
        "KL(π ∥ π_ref) in nats, where the better of two answers always wins (Azar 2023, arXiv:2310.12036): no finite "
        "reward says so, and DPO goes on towards the best answer alone, whatever β is; IPO stops.",
    )


def sample_panel(rows: Sequence[Learned]) -> Panel:
    """What is left of the divergence by the number of pairs."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        series.setdefault(f"β = {row.beta:g}", []).append(
            (float(row.amount), mean_and_deviation(row.of("divergence"))[0])
        )
    return Panel("DPO on sampled pairs", "pairs", "KL(π* ∥ π_θ), nats", series, log_x=True, log_y=True)


def certain_panel(found: Sequence[Certain]) -> Panel:
    """Divergence by steps."""
    series = {
        f"{one.loss}, β = {one.beta:g}": [
            (float(steps), value) for steps, value in zip(one.steps, one.divergences, strict=True)
        ]
        for one in found
    }
    return Panel("Certain preferences", "steps", "KL(π ∥ π_ref), nats", series, log_x=True)
