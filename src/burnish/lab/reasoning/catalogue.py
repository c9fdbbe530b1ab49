"""The experiments of `burnish lab reasoning`, by the name that a user gives."""

from collections.abc import Callable, Mapping

from burnish.lab.experiment import Experiment
from burnish.lab.reasoning.additions import FORMATS, R1_ZERO, AdditionsExperiment, Scale, quick


def _additions(topic: str, scale: Scale) -> Callable[[int, int, bool], Experiment]:
    def make(seed: int, seeds: int, is_quick: bool) -> Experiment:
        chosen = quick(scale) if is_quick else scale
        return AdditionsExperiment(topic=topic, seed=seed, seeds=seeds, scale=chosen, quick=is_quick)

    return make


EXPERIMENTS: Mapping[str, Callable[[int, int, bool], Experiment]] = {
    "r1-zero": _additions("r1-zero", R1_ZERO),
    "formats": _additions("formats", FORMATS),
}
"""Each made of the first seed, the number of seeds, and whether it is to be quick."""
