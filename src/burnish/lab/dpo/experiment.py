"""`burnish lab dpo`: where all answers can be enumerated, is DPO's policy the one that the theory promises?

Notable choices:
- the derivation, equations 1 to 8, is computed without sampling: each line's error is that of float64;
- three ways to the same policy, each by its own loss: reinforcement learning, a reward model, DPO;
- then a decoder learns from all pairs at once, each weighing as much as it is drawn and preferred: that is the promise;
- and by the method that recipes use from sampled pairs: what is left is the error of the sample;
- and once the labels are not Bradley-Terry's: where a preference is certain, no β holds DPO.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from burnish.lab.dpo.derivation import equations_table, ways_table
from burnish.lab.dpo.learner import (
    EXACT_STEPS,
    LEARNING_RATE,
    LENGTH,
    STEPS,
    AnswerSpace,
    draw_pairs,
    learned,
    learned_exactly,
    reference_decoder,
)
from burnish.lab.dpo.tables import (
    Certain,
    Learned,
    certain_panel,
    certain_table,
    exact_table,
    learned_table,
    sample_panel,
    verdict_table,
)
from burnish.lab.dpo.theory import PreferenceProblem, descended, differences, divergence
from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.objectives.dpo import DPOLossType
from burnish.runs.progress import Reporter
from burnish.runs.run import Run

BETAS = (0.3, 1.0)
PAIRS = (1_024, 4_096, 16_384, 65_536)
CERTAIN_STEPS = (30, 100, 300, 1_000, 3_000)
"""Steps of Adam after which the policies that learn certain preferences are looked at."""


@dataclass(frozen=True, kw_only=True)
class DpoExperiment:
    """Compute the theory, and train a decoder on all pairs and on so many by each of so many seeds.

    exact_steps: of each training on all pairs. certain_steps: after which the policies that learn certain preferences
    are looked at. length: of answers, in tokens.
    """

    name: ClassVar[str] = "dpo"
    seed: int
    seeds: int = 3
    pairs: Sequence[int] = PAIRS
    exact_steps: Sequence[int] = EXACT_STEPS
    betas: Sequence[float] = BETAS
    certain_steps: Sequence[int] = CERTAIN_STEPS
    length: int = LENGTH

    def settings(self) -> dict[str, Any]:
        training = {"steps": STEPS, "learning_rate": LEARNING_RATE}
        return {"command": "burnish lab dpo", "betas": self.betas, "length": self.length, **training}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        problems = [problem(beta, seed=self.seed, length=self.length) for beta in self.betas]
        exact = [self._exactly(beta, steps, notebook, display) for beta in self.betas for steps in self.exact_steps]
        rows = [self._learned(beta, count, notebook, display) for beta in self.betas for count in self.pairs]
        without_doubt = [
            certain(name, one, loss_type, self.certain_steps)
            for name, loss_type in CERTAIN_LOSSES.items()
            for one in problems
        ]
        return Findings(
            [
                verdict_table(exact, rows),
                equations_table(problems, seed=self.seed),
                ways_table(problems),
                exact_table(exact, self.seeds),
                learned_table(rows, self.seeds),
                certain_table(without_doubt),
            ],
            [sample_panel(rows), certain_panel(without_doubt)],
            {"seeds": self.seeds, "pairs": self.pairs, "exact_steps": self.exact_steps},
        )

    def _exactly(self, beta: float, steps: int, notebook: Notebook, display: Reporter) -> Learned:
        """Of all pairs, in so many steps."""

        def outcome(name: str, seed: int) -> dict[str, float]:
            return exact_outcome(beta, steps, seed=seed, length=self.length)

        title = f"β = {beta:g}, all pairs, {steps:,} steps"
        return Learned(beta, steps, self._of_seeds(f"exact-{beta:g}-{steps}", title, outcome, notebook, display))

    def _learned(self, beta: float, count: int, notebook: Notebook, display: Reporter) -> Learned:
        """Of so many sampled pairs."""

        def outcome(name: str, seed: int) -> dict[str, float]:
            run = Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}")
            measured = learned_outcome(beta, count, run, length=self.length)
            shutil.rmtree(run.folder)
            return measured

        title = f"β = {beta:g}, {count:,} pairs"
        return Learned(beta, count, self._of_seeds(f"learned-{beta:g}-{count}", title, outcome, notebook, display))

    def _of_seeds(
        self,
        name: str,
        title: str,
        outcome: Callable[[str, int], dict[str, float]],
        notebook: Notebook,
        display: Reporter,
    ) -> list[dict[str, float]]:
        """What the trainings of all seeds came to, each measured once and kept under its name."""
        found = []
        with display.bar(title, self.seeds, "trainings") as bar:
            for done, seed in enumerate(range(self.seed, self.seed + self.seeds), start=1):
                found.append(notebook.piece(f"{name}-{seed}", partial(outcome, f"{name}-{seed}", seed)))
                bar.update(done, kl=found[-1]["divergence"])
        return found


def problem(beta: float, *, seed: int, length: int = LENGTH) -> PreferenceProblem:
    """Rewards ~ N(0, 1), and a reference that is a decoder."""
    reference = AnswerSpace(length).logps(reference_decoder(seed=seed))
    # float32 logits do not sum to one in float64; what is left over would look like an error of the theory.
    reference = reference.log_softmax(-1)
    rewards = torch.from_numpy(np.random.default_rng([seed, 1]).normal(size=tuple(reference.shape)))
    return PreferenceProblem(rewards, reference, beta)


def learned_outcome(beta: float, count: int, run: Run, *, length: int = LENGTH) -> dict[str, float]:
    """`outcome_of` DPO on so many sampled pairs."""
    answers, one = AnswerSpace(length), problem(beta, seed=run.seed, length=length)
    token_logps = answers.token_logps(reference_decoder(seed=run.seed))
    pairs = draw_pairs(one, answers, token_logps, count, seed=run.seed)
    return outcome_of(one, answers.logps(learned(pairs, beta, run, seed=run.seed)))


def exact_outcome(beta: float, steps: int, *, seed: int, length: int = LENGTH) -> dict[str, float]:
    """`outcome_of` equation 7 over all pairs, after so many steps."""
    answers, one = AnswerSpace(length), problem(beta, seed=seed, length=length)
    return outcome_of(one, answers.logps(learned_exactly(one, answers, seed=seed, steps=steps)))


def outcome_of(one: PreferenceProblem, said: Tensor) -> dict[str, float]:
    """A decoder's log-probabilities beside the optimum, by enumeration; means over the prompts.

    divergence: KL(π* ∥ π_θ); before: KL(π* ∥ π_ref). gained: of equation 3's gain from π_ref to π* the share that π_θ
    has. error: of the implicit reward beside equation 8's, its standard deviation under π*, in units of the reward.
    """
    logps = said.log_softmax(-1)
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


CERTAIN_LOSSES: Mapping[str, DPOLossType] = {"DPO": "sigmoid", "IPO": "ipo"}


def certain(name: str, one: PreferenceProblem, loss_type: DPOLossType, steps: Sequence[int]) -> Certain:
    """A table of parameters after so many steps of Adam, where the better answer always wins."""
    preferences = torch.heaviside(differences(one.rewards), torch.tensor(0.5, dtype=torch.float64))
    found = descended(one.dpo_loss(preferences, loss_type), one.reference_logps, steps)
    divergences = [divergence(logits.log_softmax(-1), one.reference_logps).mean().item() for logits in found]
    best = one.reference_logps.gather(1, one.rewards.argmax(1, keepdim=True))
    return Certain(name, one.beta, steps, divergences, -best.mean().item())
