"""Experiments on additions: a small decoder reads them in several ways, then is rewarded for the final answer alone.

`r1-zero` (DeepSeek-AI 2025, arXiv:2501.12948; length generalization by scratch-pads: Lee 2023, arXiv:2307.03381): most
of what is read are answers at once, which the decoder cannot compute for long numbers; a few write each column with its
carry. Does a reward of the final answer alone find the columns, and do answers grow longer by it?

`formats` (Zhao 2025, arXiv:2504.07912): three ways in equal parts. Does reinforcement keep them all, or amplify one?
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning import tables
from burnish.lab.reasoning.arithmetic import Way
from burnish.lab.reasoning.reading import Shape, n_parameters
from burnish.lab.reasoning.reinforcing import Reinforcing, reinforced
from burnish.lab.reasoning.results import CaseResult
from burnish.lab.reasoning.setting import FirstReading, Measuring, Setting
from burnish.lab.seeded import SeededExperiment
from burnish.runs.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large an experiment is. ks: of pass@k, up to the samples of a problem."""

    shape: Shape
    reading: FirstReading
    measuring: Measuring
    cases: Sequence[Reinforcing]
    ks: Sequence[int]


R1_ZERO = Scale(
    shape=Shape(d_model=96, n_layers=3, n_heads=4),
    reading=FirstReading(digits=6, shares={"direct": 0.85, "columns": 0.15}, steps=2000, batch_size=64),
    measuring=Measuring(digits=(1, 2, 3, 4, 5, 6, 7), problems=40, samples=16),
    cases=(
        Reinforcing(name="4 to 6 digits", digits=(4, 5, 6), steps=80),
        Reinforcing(name="2 digits only", digits=(2,), steps=80),
    ),
    ks=(1, 2, 4, 8, 16),
)
FORMATS = replace(
    R1_ZERO,
    reading=replace(R1_ZERO.reading, shares={"direct": 1 / 3, "columns": 1 / 3, "totals": 1 / 3}, steps=1200),
    cases=R1_ZERO.cases[:1],
)


def quick(scale: Scale) -> Scale:
    """The same in seconds: to see that it works."""
    cases = [
        Reinforcing(name=name, digits=digits, steps=4, prompts=4, samples=4)
        for _, (name, digits) in zip(
            scale.cases, {"1 to 2 digits": (1, 2), "2 digits only": (2,)}.items(), strict=False
        )
    ]
    return replace(
        scale,
        shape=Shape(d_model=32, n_layers=1, n_heads=2),
        reading=replace(scale.reading, digits=2, steps=20, batch_size=16),
        measuring=Measuring(digits=(1, 2, 3), problems=4, samples=4),
        cases=cases,
        ks=(1, 4),
    )


@dataclass(frozen=True, kw_only=True)
class AdditionsExperiment(SeededExperiment):
    """Read, measure, reinforce each case, measure again; with each of so many seeds."""

    scale: Scale

    @cached_property
    def setting(self) -> Setting:
        return Setting(self.scale.shape, self.scale.reading, self.scale.measuring)

    def settings(self) -> dict[str, Any]:
        return {"command": self.command, "scale": asdict(self.scale)}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        scale, setting = self.scale, self.setting
        before: list[dict[str, Any]] = []
        found: dict[str, list[dict[str, Any]]] = {case.name: [] for case in scale.cases}
        size = 0
        for seed in self.each_seed(display):
            start = setting.pretrained(seed, notebook, display)
            size = n_parameters(start)
            before.append(notebook.piece(f"before-{seed}", partial(setting.measured, start, seed)))
            for case in scale.cases:
                found[case.name].append(reinforced(setting, case, start, seed, notebook, display))
        results = [CaseResult.of(case, before, found[case.name]) for case in scale.cases]
        return self._findings(results, size)

    def _findings(self, results: Sequence[CaseResult], size: int) -> Findings:
        scale = self.scale
        ways: list[Way] = list(scale.reading.shares)
        digits, ks = scale.measuring.digits, scale.ks
        return Findings(
            [
                tables.findings_table(results, ways, ks, seed=self.seed),
                tables.accuracy_table(results, digits, self._note(size), seed=self.seed),
                tables.ways_table(results, ways, digits),
                tables.passes_table(results, digits, ks, seed=self.seed),
                tables.examples_table(results),
            ],
            tables.panels(results, ways, digits, ks),
            self.facts(parameters=size),
        )

    def _note(self, size: int) -> str:
        reading, measuring, case = self.scale.reading, self.scale.measuring, self.scale.cases[0]
        mix = ", ".join(
            f"{100 * share / sum(reading.shares.values()):.0f} % {w}" for w, share in reading.shares.items()
        )
        return (
            f"{size:,} parameters, characters as tokens; read {reading.steps * reading.batch_size:,} additions of 1 to "
            f"{reading.digits} digits ({mix}); then GRPO on the final answer alone, {case.steps} steps of "
            f"{case.prompts} problems with {case.samples} samples, no KL, no division by the standard deviation. "
            f"Measured with {measuring.problems} held-out problems of each number of digits and seed, "
            f"{measuring.samples} samples each, at temperature 1. Means over {self.seeds} seeds; intervals of 95 % "
            "over the problems of all seeds."
        )
