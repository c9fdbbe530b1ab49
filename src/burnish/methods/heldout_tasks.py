"""A policy on tasks that are held out, measured while it learns: what it earns, how long it is, pass@k, what it says.

Notable choices:
- the tasks and the draws are the same each time, so that two measurements differ by the policy alone;
- every answer is kept, `evaluations/000010.jsonl` after ten steps, for a person to compare;
- the loss is the mean reward with the sign changed: what is kept as the best is what earned most.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from burnish.datasets.rollout import Rollout
from burnish.datasets.rows import Task
from burnish.evaluation.pass_at_k import pass_at_k
from burnish.files import atomic_write_text
from burnish.methods.measuring import Metrics, comparison
from burnish.methods.settings import RolloutSettings
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import JudgedAnswer, WeightedJudge
from burnish.rewards.sampled_groups import RolloutConfig, metrics_by_group, readable, sample_wave
from burnish.runs.names import EVALUATIONS_FOLDER
from burnish.runs.run import Run
from burnish.training.loop import TrainingReport

CORRECT = "correct"
_DRAWS = 1
"""Parts the draws of evaluations from those of rollouts, whose seeds are longer."""


@dataclass(frozen=True)
class HeldOutTasks:
    """Tasks that nothing is learned from, and the judges of answers to them."""

    tasks: Sequence[Task]
    judges: Sequence[WeightedJudge]


class PolicyEvaluation:
    """Measures a policy on the tasks of an environment, as it is when it is asked.

    config: how answers are sampled, `num_generations` to each task. group_of: of a task its group, if it has one.
    """

    def __init__(
        self,
        policy: Decoder,
        environment: Environment,
        config: RolloutConfig,
        run: Run,
        *,
        group_of: Callable[[Task], str | None] = lambda _: None,
    ) -> None:
        self._policy, self._environment, self._run, self._group_of = policy, environment, run, group_of
        self._config = replace(config, sampling=replace(config.sampling, stop=environment.tokenizer.stop_ids))

    def measure(self, step: int) -> dict[str, float]:
        """What the policy is after so many steps, with `loss`; an interrupted run measures no step twice."""

        def compute() -> dict[str, Any]:
            rollout = self._sample()
            return {"metrics": self._metrics(rollout), "answers": readable(rollout, self._environment)}

        found = self._run.remembered(f"evaluation-{step:06}", compute)
        atomic_write_text(self._run.folder / EVALUATIONS_FOLDER / f"{step:06}.jsonl", found["answers"])
        metrics: dict[str, float] = found["metrics"]
        return metrics

    def _sample(self) -> Rollout:
        tasks, size = range(len(self._environment.tasks)), self._config.batch_size // self._config.num_generations
        waves = [list(tasks[start : start + max(1, size)]) for start in range(0, len(tasks), max(1, size))]
        self._policy.eval()
        # A judge may draw random numbers; what is trained must not notice whether it was measured.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            found = [
                sample_wave(self._policy, self._environment, self._config, wave, self._seed(number), marks=_correct)
                for number, wave in enumerate(waves)
            ]
            # Training mode frees the weights that generation has packed.
            self._policy.train().eval()
        first, *others = found
        for wave in others:
            first = first + wave
        return first

    def _seed(self, wave: int) -> int:
        return int(np.random.SeedSequence([self._run.seed, _DRAWS, wave, 0, 0]).generate_state(1)[0])

    def _metrics(self, rollout: Rollout) -> dict[str, float]:
        groups = [self._group_of(task) for task in self._environment.tasks]
        found = metrics_by_group(rollout, groups.__getitem__)
        del found["sampled_groups"]
        if CORRECT in rollout.marks:
            n = rollout.group_size
            right = rollout.marks[CORRECT].view(-1, n).sum(1).tolist()
            for k in sorted({1, n}):
                found[f"pass@{k}"] = _mean([pass_at_k(n, count, k) for count in right])
            for group in sorted({name for name in groups if name is not None}):
                of_group = [count / n for count, name in zip(right, groups, strict=True) if name == group]
                found[f"pass@1/{group}"] = _mean(of_group)
        return {"loss": -found["reward"], **found}


class Stepping(Protocol):
    """The optimizer steps of a training. latest: the one that was asked for last."""

    @property
    def latest(self) -> int: ...


@dataclass(frozen=True)
class Watch:
    """A policy that is measured while it learns. before: what it was."""

    evaluation: PolicyEvaluation
    settings: RolloutSettings
    n_tasks: int
    before: Metrics

    def on_the_way(self, steps: Stepping) -> Callable[[], dict[str, float]]:
        """What measures the policy as the latest step has left it."""
        return lambda: self.evaluation.measure(steps.latest + 1)

    def compared(self, report: TrainingReport) -> Metrics:
        """The policy that the training has left, beside the one that it began with."""
        last = int(report.metrics["best_step"]) if self.settings.training.keep_best else report.steps
        return comparison(self.before, self.evaluation.measure(last), self.n_tasks)


def watched(
    policy: Decoder, heldout: Environment | None, config: RolloutConfig, settings: RolloutSettings, run: Run
) -> Watch | None:
    """The watch over a policy that is about to learn, once it is measured; None where nothing is held out.

    config: how its rollouts are sampled.
    """
    if heldout is None:
        return None
    asking = replace(config, num_generations=settings.num_generations_eval)
    evaluation = PolicyEvaluation(policy, heldout, asking, run, group_of=settings.group_of)
    return Watch(evaluation, settings, len(heldout.tasks), evaluation.measure(0))


def _correct(_: Sequence[WeightedJudge], groups: Sequence[Sequence[JudgedAnswer]]) -> dict[str, list[bool]]:
    """Which answers are right; nothing where the judges cannot tell it of all."""
    verdicts = [one.verdict.correct for group in groups for one in group]
    return {} if None in verdicts else {CORRECT: [correct is True for correct in verdicts]}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
