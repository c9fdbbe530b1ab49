"""`burnish lab dpo`: where all answers can be enumerated, is DPO's policy the one that the theory promises?

Notable choices:
- the derivation, equations 1 to 8, is computed without sampling: each line's error is that of float64;
- three ways to the same policy, each by its own loss: reinforcement learning, a reward model, DPO;
- then the method that recipes use trains a decoder on sampled pairs: what is left is the error of the sample;
- and once the labels are not Bradley-Terry's: where a preference is certain, no β holds DPO.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from burnish.lab.dpo.derivation import equations_table, ways_table
from burnish.lab.dpo.learner import (
    LEARNING_RATE,
    LEAST_BATCH,
    LENGTH,
    STEPS,
    Answers,
    draw_pairs,
    learned,
    reference_decoder,
)
from burnish.lab.dpo.theory import Problem, descended, differences, divergence
from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.report import Cell, Panel, Table
from burnish.objectives.dpo import DPOLossType
from burnish.report.formatting import percent
from burnish.runs.progress import Reporter
from burnish.runs.run import Run

BETAS = (0.3, 1.0)
PAIRS = (1_024, 4_096, 16_384, 65_536)
CERTAIN_STEPS = (30, 100, 300, 1_000, 3_000)
"""Steps of Adam after which the policies that learn certain preferences are looked at."""
REACHED = 0.95
"""The promise is kept where so much of what can be gained is gained, by each seed."""


@dataclass(frozen=True, kw_only=True)
class DpoExperiment:
    """Compute the theory, and train a decoder on so many pairs by each of so many seeds.

    certain_steps: after which the policies that learn certain preferences are looked at. length: of answers, in tokens.
    """

    name: ClassVar[str] = "dpo"
    seed: int
    seeds: int = 3
    pairs: Sequence[int] = PAIRS
    betas: Sequence[float] = BETAS
    certain_steps: Sequence[int] = CERTAIN_STEPS
    length: int = LENGTH

    def settings(self) -> dict[str, Any]:
        training = {"steps": STEPS, "learning_rate": LEARNING_RATE}
        return {"command": "burnish lab dpo", "betas": self.betas, "length": self.length, **training}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        problems = [problem(beta, seed=self.seed, length=self.length) for beta in self.betas]
        rows = [self._learned(beta, count, notebook, display) for beta in self.betas for count in self.pairs]
        without_doubt = [
            certain(name, one, loss_type, self.certain_steps)
            for name, loss_type in CERTAIN_LOSSES.items()
            for one in problems
        ]
        return Findings(
            [
                verdict_table(rows, self.pairs[-1]),
                equations_table(problems, seed=self.seed),
                ways_table(problems),
                learned_table(rows, self.seeds),
                certain_table(without_doubt),
            ],
            [sample_panel(rows), certain_panel(without_doubt)],
            {"seeds": self.seeds, "pairs": self.pairs},
        )

    def _learned(self, beta: float, count: int, notebook: Notebook, display: Reporter) -> "Learned":
        found = []
        with display.bar(f"β = {beta:g}, {count:,} pairs", self.seeds, "trainings") as bar:
            for done, seed in enumerate(range(self.seed, self.seed + self.seeds), start=1):
                name = f"learned-{beta:g}-{count}-{seed}"

                def outcome(name: str = name, seed: int = seed) -> dict[str, float]:
                    run = Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}")
                    measured = learned_outcome(beta, count, run, length=self.length)
                    shutil.rmtree(run.folder)
                    return measured

                found.append(notebook.piece(name, outcome))
                bar.update(done, kl=found[-1]["divergence"])
        return Learned(beta, count, found)


@dataclass(frozen=True)
class Learned:
    """What decoders trained on so many pairs are like, seed by seed: see `learned_outcome`."""

    beta: float
    pairs: int
    outcomes: Sequence[dict[str, float]]

    def of(self, name: str) -> list[float]:
        return [outcome[name] for outcome in self.outcomes]


def problem(beta: float, *, seed: int, length: int = LENGTH) -> Problem:
    """Rewards ~ N(0, 1), and a reference that is a decoder."""
    reference = Answers(length).logps(reference_decoder(seed=seed))
    # float32 logits do not sum to one in float64; what is left over would look like an error of the theory.
    reference = reference.log_softmax(-1)
    rewards = torch.from_numpy(np.random.default_rng([seed, 1]).normal(size=tuple(reference.shape)))
    return Problem(rewards, reference, beta)


def learned_outcome(beta: float, count: int, run: Run, *, length: int = LENGTH) -> dict[str, float]:
    """DPO on so many sampled pairs, measured by enumeration; means over the prompts.

    divergence: KL(π* ∥ π_θ); before: KL(π* ∥ π_ref). gained: of equation 3's gain from π_ref to π* the share that π_θ
    has. error: of the implicit reward beside equation 8's, its standard deviation under π*, in units of the reward.
    """
    answers, one = Answers(length), problem(beta, seed=run.seed, length=length)
    token_logps = answers.token_logps(reference_decoder(seed=run.seed))
    decoder = learned(draw_pairs(one, answers, token_logps, count, seed=run.seed), beta, run, seed=run.seed)
    logps = answers.logps(decoder).log_softmax(-1)
    best, start = one.value(one.optimal_logps).mean(), one.value(one.reference_logps).mean()
    errors = one.implicit_rewards(logps) - one.projected_rewards
    weights = one.optimal_logps.exp()
    centred = errors - (weights * errors).sum(-1, keepdim=True)
    return {
        "before": divergence(one.optimal_logps, one.reference_logps).mean().item(),
        "divergence": divergence(one.optimal_logps, logps).mean().item(),
        "gained": ((one.value(logps).mean() - start) / (best - start)).item(),
        "error": (weights * centred.square()).sum(-1).mean().sqrt().item(),
    }


def verdict_table(rows: Sequence[Learned], most: int) -> Table:
    """What was found, computed from the tables below it."""
    largest = [row for row in rows if row.pairs == most]
    least = min(value for row in largest for value in row.of("gained"))
    held = "is kept" if least >= REACHED else "is not kept"
    lines = [
        f"DPO on Bradley-Terry pairs reaches π*: the promise {held} by a trained decoder. Of what equation 3 gains it "
        f"has {percent(least, 1)} or more with {most:,} pairs ({len(largest[0].outcomes)} seeds, every β)."
    ]
    for beta in dict.fromkeys(row.beta for row in rows):
        of_beta = [row for row in rows if row.beta == beta]
        first, last = (mean_and_deviation(row.of("divergence"))[0] for row in (of_beta[0], of_beta[-1]))
        lines.append(
            f"β = {beta:g}: KL(π* ∥ π_θ) falls from {mean_and_deviation(of_beta[0].of('before'))[0]:.3g} before to "
            f"{first:.3g} with {of_beta[0].pairs:,} pairs and {last:.3g} with {of_beta[-1].pairs:,}."
        )
    return Table("What was found", ["computed from the tables below"], [[line] for line in lines])


def learned_table(rows: Sequence[Learned], seeds: int) -> Table:
    """The decoders, by β and pairs."""
    cells: list[list[Cell]] = []
    for row in rows:
        gained, spread = mean_and_deviation(row.of("gained"))
        numbers = [mean_and_deviation(row.of(name)) for name in ("before", "divergence", "error")]
        cells.append(
            [
                row.beta,
                row.pairs,
                numbers[0][0],
                *numbers[1],
                percent(gained, 1),
                "–" if spread is None else percent(spread, 1),
                *numbers[2],
            ]
        )
    return Table(
        "A decoder trained by the `dpo` method on sampled pairs",
        ["β", "pairs", "KL(π* ∥ π_ref)", "KL(π* ∥ π_θ)", "±", "gained", "± ", "error of r̂", "±  "],
        cells,
        f"Means over {seeds} seeds, each of rewards, reference, pairs and order; ± is their deviation. Each "
        f"pair is seen once, in {STEPS} steps, or fewer of {LEAST_BATCH} pairs. Gained: of equation 3's value, from "
        "π_ref to π*. Error of r̂: the standard deviation, under π*, of β log π_θ/π_ref beside equation 8's reward.",
    )


CERTAIN_LOSSES: Mapping[str, DPOLossType] = {"DPO": "sigmoid", "IPO": "ipo"}


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


def certain(name: str, one: Problem, loss_type: DPOLossType, steps: Sequence[int]) -> Certain:
    """A table of parameters after so many steps of Adam, where the better answer always wins."""
    preferences = torch.heaviside(differences(one.rewards), torch.tensor(0.5, dtype=torch.float64))
    found = descended(one.dpo_loss(preferences, loss_type), one.reference_logps, steps)
    divergences = [divergence(logits.log_softmax(-1), one.reference_logps).mean().item() for logits in found]
    best = one.reference_logps.gather(1, one.rewards.argmax(1, keepdim=True))
    return Certain(name, one.beta, steps, divergences, -best.mean().item())


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
            (float(row.pairs), mean_and_deviation(row.of("divergence"))[0])
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
