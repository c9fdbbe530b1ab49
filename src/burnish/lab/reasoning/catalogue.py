"""The experiments of `burnish lab reasoning`, by the name that a user gives."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from burnish.errors import BurnishError
from burnish.lab.experiment import Experiment
from burnish.lab.reasoning import distillation, equal_budget, gym, judged, search
from burnish.lab.reasoning.additions import FORMATS, R1_ZERO, AdditionsExperiment, Scale, quick
from burnish.lab.reasoning.gym_setting import GymScale


class Maker(Protocol):
    """Makes an experiment of its first seed, the number of seeds, and whether it is only to be seen that it works."""

    def __call__(self, *, seed: int, seeds: int, is_quick: bool) -> Experiment: ...


def _additions(topic: str, scale: Scale) -> Maker:
    def make(*, seed: int, seeds: int, is_quick: bool) -> Experiment:
        chosen = quick(scale) if is_quick else scale
        return AdditionsExperiment(topic=topic, seed=seed, seeds=seeds, scale=chosen, quick=is_quick)

    return make


def _distillation(*, seed: int, seeds: int, is_quick: bool) -> Experiment:
    scale = distillation.QUICK if is_quick else distillation.FULL
    return distillation.DistillationExperiment(seed=seed, seeds=seeds, scale=scale, quick=is_quick)


def _methods(*, seed: int, seeds: int, is_quick: bool) -> Experiment:
    scale = equal_budget.QUICK if is_quick else equal_budget.FULL
    return equal_budget.EqualBudgetExperiment(seed=seed, seeds=seeds, scale=scale, quick=is_quick)


def _reward_models(*, seed: int, seeds: int, is_quick: bool) -> Experiment:
    scale = judged.QUICK if is_quick else judged.FULL
    return judged.RewardModelsExperiment(seed=seed, seeds=seeds, scale=scale, quick=is_quick)


def _search(*, seed: int, seeds: int, is_quick: bool) -> Experiment:
    setting = search.QUICK if is_quick else search.FULL
    return search.SearchExperiment(seed=seed, seeds=seeds, setting=setting, quick=is_quick)


def _smollm2(topic: str, scale: GymScale) -> Maker:
    def make(*, seed: int, seeds: int, is_quick: bool) -> Experiment:
        chosen = gym.quick(scale) if is_quick else scale
        return gym.GymExperiment(topic=topic, seed=seed, seeds=seeds, scale=chosen, quick=is_quick)

    return make


EXPERIMENTS: Mapping[str, Maker] = {
    "r1-zero": _additions("r1-zero", R1_ZERO),
    "formats": _additions("formats", FORMATS),
    "search": _search,
    "smollm2": _smollm2("smollm2", gym.FULL),
    "smollm2-started": _smollm2("smollm2-started", gym.STARTED),
    "distillation": _distillation,
    "methods": _methods,
    "reward-models": _reward_models,
}


def chosen(names: Sequence[str], *, seed: int, seeds: int, is_quick: bool) -> list[Experiment]:
    """The experiments of these names, all of them without any. Raises BurnishError for a name that is none."""
    for name in names:
        if name not in EXPERIMENTS:
            raise BurnishError(f"--experiment {name}: expected one of {', '.join(EXPERIMENTS)}")
    return [EXPERIMENTS[name](seed=seed, seeds=seeds, is_quick=is_quick) for name in names or EXPERIMENTS]
