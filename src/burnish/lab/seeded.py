"""What the experiments of a command of several have in common: how they are called, and so many seeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from burnish.runs.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class SeededExperiment:
    """Repeated with so many seeds, from `seed` on; more of them later go on from those that are there.

    group, topic: what stands after `burnish lab`, and after `--experiment`. quick: only to see that it works.
    """

    group: str = "reasoning"
    topic: str
    seed: int
    seeds: int = 3
    quick: bool = False

    @property
    def name(self) -> str:
        return f"{self.group}-{self.topic}"

    @property
    def command(self) -> str:
        """The command line, without the number of seeds."""
        return f"burnish lab {self.group} --experiment {self.topic}{' --quick' if self.quick else ''}"

    def each_seed(self, display: Reporter) -> Iterator[int]:
        """The seeds, each said as it begins."""
        for seed in range(self.seed, self.seed + self.seeds):
            display.say(f"seed {seed}", style="bold")
            yield seed

    def facts(self, **found: Any) -> dict[str, Any]:
        """What is told of the experiment in its findings, beside what was found."""
        return {"seeds": self.seeds, **found, "command": f"{self.command} --seeds {self.seeds}"}
