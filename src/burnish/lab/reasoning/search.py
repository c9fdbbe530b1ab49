"""`search`: does reinforcement solve what the searches that were read, and samples of the model, did not?

Stream of search (Gandhi 2024, arXiv:2404.03683) on countdown with three numbers; then GRPO and online RFT, rewarded for
the answer alone, with the same samples.

Notable choices:
- problems are hard where neither order of search finds an answer within the budget that was read, so that no document
  could have shown how;
- samples that missed a problem may solve it the next time by chance: the model before is asked again, with other draws,
  and reinforcement has solved new problems only as far as it does better than that.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning import search_tables
from burnish.lab.reasoning.countdown import CountdownProblem
from burnish.lab.reasoning.reading import Shape, n_parameters
from burnish.lab.reasoning.search_results import AGAIN, BEFORE, Results
from burnish.lab.reasoning.searching import METHODS, Looked, Rewarding, Searches, SearchSetting, reinforced
from burnish.lab.seeded import SeededExperiment
from burnish.nn.decoder import Decoder
from burnish.runs.progress import Reporter

FULL = SearchSetting(
    shape=Shape(d_model=96, n_layers=3, n_heads=4),
    reading=Searches(budget=2, steps=1500, batch_size=64),
    rewarding=Rewarding(steps=150, max_new_tokens=100),
    problems=200,
    samples=32,
    further=2000,
)
QUICK = SearchSetting(
    shape=Shape(d_model=32, n_layers=1, n_heads=2),
    reading=Searches(budget=2, steps=20, batch_size=16),
    rewarding=Rewarding(steps=3, max_new_tokens=60, prompts=4, samples=4),
    problems=8,
    samples=4,
    further=8,
)


@dataclass(frozen=True, kw_only=True)
class SearchExperiment(SeededExperiment):
    """Read searches, reinforce by each method, ask before and after; with each of so many seeds."""

    topic: str = "search"
    setting: SearchSetting

    def settings(self) -> dict[str, Any]:
        return {"command": self.command, "scale": asdict(self.setting)}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        setting, size = self.setting, 0
        policies: dict[str, list[Looked]] = {name: [] for name in (BEFORE, AGAIN, *METHODS)}
        curves: dict[str, list[dict[str, list[float]]]] = {method: [] for method in METHODS}
        for seed in self.each_seed(display):
            start = setting.pretrained(seed, notebook, display)
            size = n_parameters(start)
            found = notebook.piece(f"missed-{seed}", partial(self._missed, start, seed))
            missed = [CountdownProblem((one[0], one[1], one[2]), one[3]) for one in found]
            for draws, name in enumerate((BEFORE, AGAIN)):
                look = partial(setting.looked, start, seed, draws=draws, further=missed if draws else ())
                policies[name].append(Looked(**notebook.piece(f"before-{draws}-{seed}", look)))
            for method in METHODS:
                made = reinforced(setting, method, start, seed, notebook, display, further=missed)
                policies[method].append(Looked(**made["after"]))
                curves[method].append(made["curves"])
        results = Results(policies, setting.samples)
        return Findings(
            [
                search_tables.findings_table(results, seed=self.seed),
                search_tables.policies_table(results, self._note(size)),
                search_tables.solved_table(results, seed=self.seed),
                search_tables.examples_table(results),
            ],
            [*search_tables.curve_panels(curves), *search_tables.passes_panels(results)],
            self.facts(parameters=size),
        )

    def _missed(self, start: Decoder, seed: int) -> list[list[int]]:
        """The numbers and the target of each further problem that no sample of the start solves."""
        return [[*problem.numbers, problem.target] for problem in self.setting.missed(start, seed)]

    def _note(self, size: int) -> str:
        reading, rewarding = self.setting.reading, self.setting.rewarding
        return (
            f"{size:,} parameters, a token for each number and sign; read {reading.steps * reading.batch_size:,} "
            f"searches that give up after 1 to {reading.budget} first steps; then {rewarding.steps} steps of "
            f"{rewarding.prompts} problems with {rewarding.samples} samples, each method with the same learning rate. "
            f"{self.setting.problems} held-out problems and {self.setting.samples} samples of each for every seed, at "
            f"temperature 1; what no sample solves before is looked for among {self.setting.further:,} more. Hard: "
            f"neither order of search solves it within {reading.budget} first steps. ±: deviation "
            "of the seeds."
        )
