"""GRPO on additions with the final answer as the only reward, by the method that recipes use.

Notable choices:
- what is logged beside the reward, such as the length by difficulty, are judges of weight 0: the method keeps their
  means with each step, so that they survive an interruption as the training itself does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from burnish.datasets.examples import Prompt
from burnish.generation.answer import Answer
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.arithmetic import WAYS, Addition, Way, is_right, longest_answer, tasks, way_of
from burnish.lab.reasoning.reading import trained_once
from burnish.lab.reasoning.setting import Setting
from burnish.methods import grpo
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import Judge, Judgement, WeightedJudge, verdict
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.loop import Progress


@dataclass(frozen=True, kw_only=True)
class Reinforcing:
    """One case: additions of these digits, and how groups of answers to them are learned from."""

    name: str
    digits: Sequence[int]
    steps: int
    prompts: int = 24
    samples: int = 8
    learning_rate: float = 3e-4

    @property
    def training(self) -> TrainingConfig:
        return TrainingConfig.model_validate(
            {
                "learning_rate": self.learning_rate,
                "schedule": "constant",
                "warmup_fraction": 0.05,
                "batch_size": self.prompts,
                "micro_batch_tokens": 8192,
            }
        )

    @property
    def settings(self) -> grpo.Settings:
        """No KL, no standard deviation: the rewards alone."""
        return grpo.Settings.model_validate(
            {
                "num_generations": self.samples,
                "scale_rewards": "none",
                "rollouts": self.steps,
                "max_new_tokens": longest_answer(max(self.digits)) + 2,
                "training": self.training,
            }
        )


@dataclass(frozen=True)
class Curves:
    """What each step's samples were like, step by step; NaN where a step had no sample of the kind.

    reward: share that is right. length: tokens. ways: share of each. by_digits: of each number of digits the reward and
    the length.
    """

    reward: list[float]
    length: list[float]
    ways: dict[str, list[float]]
    reward_by_digits: dict[str, list[float]]
    length_by_digits: dict[str, list[float]]

    def of_way(self, way: Way) -> list[float]:
        return self.ways[way]

    def length_of(self, digits: int) -> list[float]:
        return self.length_by_digits[str(digits)]


def reinforced(
    setting: Setting, case: Reinforcing, start: Decoder, seed: int, notebook: Notebook, display: Reporter
) -> dict[str, Any]:
    """`Curves`, and what the policy is measured to be afterwards, as JSON values: `curves` and `after`."""

    def learn(policy: Decoder, run: Run, look: Callable[[Progress], None]) -> dict[str, Any]:
        return vars(curves(reinforce(setting, case, policy, run, look), case.digits))

    measure = partial(setting.measured, seed=seed)
    return trained_once(case.name, start, seed, notebook, display, learn=learn, measure=measure)


def reinforce(
    setting: Setting,
    case: Reinforcing,
    policy: Decoder,
    run: Run,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Train the policy in place; returns what each step has logged."""
    problems = setting.drawn(case.digits, case.steps * case.prompts, [run.seed, 2])
    prompts = [Prompt(setting.prompt(one), {}) for one in problems]
    environment = Environment(setting.tokenizer, tasks(problems), prompts, judges(case.digits))
    grpo.learn(policy, environment, case.settings, run, on_progress=on_progress)
    return read_events(run.folder)


def judges(digits: Sequence[int]) -> list[WeightedJudge]:
    """The reward, and what is only looked at: ways, and by digits the reward and the length."""

    def is_in(way: Way) -> Judge:
        return _each(lambda answer: float(way_of(answer.text) == way))

    looked_at = [WeightedJudge(way, is_in(way), weight=0.0) for way in WAYS]
    for count in digits:
        looked_at += [
            WeightedJudge(f"reward-{count}", _each(_right), 0.0, _has(count)),
            WeightedJudge(f"length-{count}", _each(lambda answer: float(len(answer.tokens))), 0.0, _has(count)),
        ]
    return [WeightedJudge("accuracy", lambda answers: [verdict(bool(_right(one))) for one in answers]), *looked_at]


def _right(answer: Answer) -> float:
    problem = Addition(answer.row["a"], answer.row["b"], answer.row["digits"])
    return float(answer.finished and is_right(problem, answer.text))


def _each(look: Callable[[Answer], float]) -> Judge:
    return lambda answers: [Judgement(look(answer)) for answer in answers]


def _has(digits: int) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row["digits"] == digits


def curves(events: Sequence[Mapping[str, Any]], digits: Sequence[int]) -> Curves:
    """What a training has logged, step by step."""

    def series(name: str) -> list[float]:
        return [float(event.get(f"rewards/{name}/mean", "nan")) for event in events]

    return Curves(
        series("accuracy"),
        [float(event["completions/mean_length"]) for event in events],
        {way: series(way) for way in WAYS},
        {str(count): series(f"reward-{count}") for count in digits},
        {str(count): series(f"length-{count}") for count in digits},
    )
