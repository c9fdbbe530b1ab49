"""The experiments on forgetting by name."""

from collections.abc import Callable, Mapping, Sequence

from burnish.errors import BurnishError
from burnish.lab.experiment import Experiment
from burnish.lab.forgetting import on_policy, replay


def _replay(*, seed: int, seeds: int, quick: bool) -> Experiment:
    return replay.ReplayExperiment(seed=seed, seeds=seeds, scale=replay.QUICK if quick else replay.FULL, quick=quick)


def _on_policy(*, seed: int, seeds: int, quick: bool) -> Experiment:
    scale = on_policy.QUICK if quick else on_policy.FULL
    return on_policy.OnPolicyExperiment(seed=seed, seeds=seeds, scale=scale, quick=quick)


EXPERIMENTS: Mapping[str, Callable[..., Experiment]] = {"replay": _replay, "on-policy": _on_policy}


def chosen(names: Sequence[str], *, seed: int, seeds: int, quick: bool) -> list[Experiment]:
    """The experiments of these names, all of them without any. Raises BurnishError for a name that is none."""
    for name in names:
        if name not in EXPERIMENTS:
            raise BurnishError(f"--experiment {name}: expected one of {', '.join(EXPERIMENTS)}")
    return [EXPERIMENTS[name](seed=seed, seeds=seeds, quick=quick) for name in names or EXPERIMENTS]
