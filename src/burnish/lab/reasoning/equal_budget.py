"""`methods`: SFT, RFT, online RFT, DPO, PPO and GRPO at an equal budget of operations, on one task.

That DPO is simpler and more stable than PPO (Rafailov 2023, arXiv:2305.18290), and that GRPO needs less than PPO (Shao
2024, arXiv:2402.03300), are claims about a grid of settings, not about one: so each method runs with every learning
rate and, where it has one, every price β, of each seed; what is compared is the best of them, and all of them.

Notable choices:
- which setting is the best is read from other problems than those that it is then measured on;
- the price β of a nat has another usual value in each method: the grid is a tenth of it, it, and ten times it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.equal_budget_results import PolicyOutcome, Results
from burnish.lab.reasoning.equal_budget_tables import tables_and_panels
from burnish.lab.reasoning.peak_memory import peak_tensor_bytes
from burnish.lab.reasoning.reading import Shape, n_parameters
from burnish.lab.reasoning.rivals import METHODS, PROMPTS, BudgetPlan, Contest, Method, RivalSetting, planned
from burnish.lab.reasoning.written_out import Demonstrations, chat_tokenizer, problems, right_counts, sampled
from burnish.lab.seeded import SeededExperiment
from burnish.nn.decoder import Decoder
from burnish.report.formatting import percent
from burnish.runs.progress import Reporter
from burnish.runs.run import Run

USUAL_BETA: dict[Method, float] = {"DPO": 0.1, "PPO": 0.05, "GRPO": 0.04}
"""The defaults of DPO's and PPO's implementations, and DeepSeekMath's for GRPO."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the comparison is.

    rollouts: of GRPO, whose operations are everybody's budget. prices: what the usual β is multiplied by. problems,
    samples: those that a policy is measured by, once to choose and once to report.
    """

    demonstrations: Demonstrations
    rollouts: int
    learning_rates: Sequence[float]
    prices: Sequence[float]
    problems: int
    samples: int

    @property
    def digits(self) -> int:
        """Of the additions that are learned."""
        return self.demonstrations.digits

    def choices(self, method: Method) -> list[RivalSetting]:
        """The grid of a method."""
        usual = USUAL_BETA.get(method)
        prices = [None] if usual is None else [usual * price for price in self.prices]
        return [
            RivalSetting(method=method, learning_rate=rate, beta=price)
            for rate in self.learning_rates
            for price in prices
        ]


FULL = Scale(
    demonstrations=Demonstrations(shape=Shape(d_model=64, n_layers=2, n_heads=4), digits=3),
    rollouts=16,
    learning_rates=(1e-4, 1e-3),
    prices=(0.1, 1.0, 10.0),
    problems=48,
    samples=4,
)
QUICK = replace(
    FULL,
    demonstrations=Demonstrations(shape=Shape(d_model=32, n_layers=1, n_heads=2), digits=1, portion=1_000, portions=2),
    rollouts=1,
    learning_rates=(1e-3, 3e-3),
    prices=(1.0,),
    problems=8,
)


@dataclass(frozen=True, kw_only=True)
class EqualBudgetExperiment(SeededExperiment):
    """Imitate demonstrations until answers are sometimes right, then let each method go on; with so many seeds."""

    topic: str = "methods"
    scale: Scale

    def settings(self) -> dict[str, Any]:
        return {"command": self.command, "scale": asdict(self.scale)}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        outcomes: dict[RivalSetting, list[PolicyOutcome]] = {
            choice: [] for method in METHODS for choice in self.scale.choices(method)
        }
        before: list[PolicyOutcome] = []
        memory: dict[Method, int] = {}
        size = 0
        for seed in self.each_seed(display):
            start = self.scale.demonstrations.start(seed, notebook, display)
            size = n_parameters(start)
            contest = self._contest(start, seed, notebook)
            before.append(PolicyOutcome(**notebook.piece(f"before-{seed}", partial(self._measured, start, seed))))
            if not memory:
                memory = {method: self._memory(contest, method, notebook) for method in METHODS}
            with display.bar(f"seed {seed}", len(outcomes), "trainings") as bar:
                for done, (choice, found) in enumerate(outcomes.items(), 1):
                    name = f"{choice.name}-{seed}"
                    kept = notebook.piece(name, partial(self._outcome, contest, choice, notebook, name))
                    found.append(PolicyOutcome(**kept))
                    bar.update(done)
        results = Results(before, outcomes, memory, self.seed)
        tables, panels = tables_and_panels(results, self._note(size))
        facts = self.facts(parameters=size)
        return Findings(tables, panels, facts)

    def _contest(self, start: Decoder, seed: int, notebook: Notebook) -> Contest:
        plan = BudgetPlan(
            **notebook.piece(f"plan-{seed}", lambda: asdict(planned(start, self.scale.digits, seed=seed)))
        )
        budget = plan.budget(self.scale.rollouts, n_parameters(start))
        return Contest(start, self.scale.digits, budget, plan, seed)

    def _outcome(self, contest: Contest, choice: RivalSetting, notebook: Notebook, name: str) -> dict[str, Any]:
        policy, spent = contest.learned(choice, _anew(notebook, name, contest.seed))
        shutil.rmtree(notebook.subfolder(name))
        share = spent.operations / contest.budget
        return self._measured(policy, contest.seed) | asdict(spent) | {"budget_share": share}

    def _measured(self, policy: Decoder, seed: int) -> dict[str, Any]:
        """Of other problems to choose by and to report, how many of the samples of each are right."""
        tokenizer, scale = chat_tokenizer(), self.scale
        sides = [problems(scale.digits, scale.problems, [seed, side], heldout=True) for side in (4, 5)]
        chosen, reported = (right_counts(sampled(policy, tokenizer, side, scale.samples, seed=seed)) for side in sides)
        return {"chosen_by": chosen, "right": reported, "samples": scale.samples}

    def _memory(self, contest: Contest, method: Method, notebook: Notebook) -> int:
        """The peak of a training of two rollouts, or what they cost; in the middle of the grid."""
        choices = self.scale.choices(method)
        short = replace(contest, budget=contest.budget * min(1.0, 2 / self.scale.rollouts))
        name = f"memory-{method.replace(' ', '-')}"

        def measured() -> int:
            run = _anew(notebook, name, contest.seed)
            peak = peak_tensor_bytes(lambda: short.learned(choices[len(choices) // 2], run))
            shutil.rmtree(run.folder)
            return peak

        return notebook.piece(name, measured)

    def _note(self, size: int) -> str:
        scale = self.scale
        samples = scale.rollouts * PROMPTS
        return (
            f"{size:,} parameters, characters as tokens; the start imitated additions of 1 to {scale.digits} "
            f"digits until {percent(scale.demonstrations.enough, 0)} were right, written out in columns. "
            f"The budget is that of GRPO with {scale.rollouts} "
            f"rollouts ({samples:,} problems) and without a price β, in operations; {scale.digits} digits are learned. "
            f"Measured at temperature 1 with {scale.samples} samples each of {scale.problems} held-out problems a "
            f"seed, the best setting chosen by as many others; {self.seeds} seeds. Intervals of 95 % over the problems "
            "of all seeds."
        )


def _anew(notebook: Notebook, name: str, seed: int) -> Run:
    """A place where a training begins anew, so that its time is the whole of it."""
    shutil.rmtree(notebook.subfolder(name))
    return Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}")
