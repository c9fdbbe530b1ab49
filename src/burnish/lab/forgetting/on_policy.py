"""`on-policy`: is what is forgotten told by the divergence on the new task, and does GRPO forget less than SFT by it?

Shenfeld 2025, "RL's Razor" (arXiv:2509.04259): at equal accuracy on a new task, reinforcement forgets less than
imitation, since of all policies that solve the task it finds one near to where it starts; and the divergence from the
start on the new task, KL(start || policy), tells what is forgotten whatever the method.

Notable choices:
- the new task has many right answers, so accuracy and divergence are different things; both are exact, over all 90
  numbers and the whole vocabulary, without sampling;
- each method is measured every few steps: a curve of accuracy, divergence and forgetting, read where it first has the
  accuracy at which all are compared.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from burnish.datasets.examples import Prompt
from burnish.evaluation.perplexity import surprises
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.lab.experiment import Findings
from burnish.lab.forgetting import tables
from burnish.lab.forgetting.divergence import kl, log_probabilities
from burnish.lab.forgetting.parity import ALPHABET, NUMBERS, Parity, additions, documents, example, tasks
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.arithmetic import END, character_tokenizer
from burnish.lab.reasoning.reading import MICRO_BATCH_TOKENS, Documents, Pace, Shape, pretrained
from burnish.lab.seeded import SeededExperiment
from burnish.methods import grpo, sft
from burnish.nn.actor_critic import sharing_copy
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import WeightedJudge, verdict
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from burnish.training.config import TrainingConfig
from burnish.training.loop import Progress

_LONGEST = 64
_READING_RATE = 1e-3
"""At three times as much the decoder does not learn a relation that a fifth of the answers break."""
Labels = Literal["one", "any", "own"]


@dataclass(frozen=True, kw_only=True)
class Route:
    """A method on its way: SFT on labels of one kind, or GRPO; and its learning rate.

    labels: `one`, 0 for even and 1 for odd numbers; `any`, a right digit by chance; `own`, a right digit as the model
    itself would say it. None is GRPO.
    """

    name: str
    labels: Labels | None
    learning_rate: float

    @property
    def training(self) -> TrainingConfig:
        return TrainingConfig.model_validate(
            {
                "learning_rate": self.learning_rate,
                "schedule": "constant",
                "warmup_fraction": 0.0,
                "batch_size": PROMPTS,
                "micro_batch_tokens": MICRO_BATCH_TOKENS,
                "checkpoint_seconds": 1e9,
            }
        )


PROMPTS, SAMPLES = 32, 8
RATES = (1e-4, 3e-4)
KINDS: Mapping[str, Labels | None] = {
    "SFT, one label": "one",
    "SFT, any label": "any",
    "SFT, own labels": "own",
    "GRPO": None,
}
ROUTES = [
    Route(name=f"{name}, {rate:g}", labels=labels, learning_rate=rate)
    for name, labels in KINDS.items()
    for rate in RATES
]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the experiment is. reading: steps of 128 documents. steps: of each route, measured every `every`."""

    shape: Shape
    reading: int
    steps: int
    every: int
    old_problems: int
    routes: Sequence[Route]


FULL = Scale(shape=Shape(), reading=700, steps=80, every=4, old_problems=200, routes=ROUTES)
QUICK = Scale(
    shape=Shape(d_model=32, n_layers=1, n_heads=2),
    reading=60,
    steps=8,
    every=4,
    old_problems=20,
    routes=[ROUTES[1], ROUTES[7]],
)


@dataclass(frozen=True)
class PolicyPoint:
    """A policy after some steps.

    accuracy: probability of a right digit, over all numbers. kl: KL(start || policy) on the new task, in nats; back:
    KL(policy || start). old: share of additions that are right. old_loss: nats a token of their right answers.
    """

    step: int
    accuracy: float
    kl: float
    back: float
    old: float
    old_loss: float


@dataclass(frozen=True)
class Measure:
    """What policies are measured by: the start's distributions, and the old task's problems."""

    tokenizer: Tokenizer
    start: torch.Tensor
    prompts: list[list[int]]
    right: torch.Tensor
    old_prompts: list[list[int]]
    old_answers: list[list[int]]

    @classmethod
    def of(cls, start: Decoder, tokenizer: Tokenizer, problems: int, seed: int) -> "Measure":
        """Of the model that training starts from."""
        parities = [Parity(number) for number in NUMBERS]
        prompts = [tokenizer.encode(END + one.question) for one in parities]
        right = torch.zeros(len(parities), len(ALPHABET), dtype=torch.bool)
        for row, one in zip(right, parities, strict=True):
            row[[ALPHABET.index(str(digit)) for digit in one.right]] = True
        old = additions(np.random.default_rng([seed, 5]), problems)
        return cls(
            tokenizer,
            _answer_logps(start, prompts),
            prompts,
            right,
            [tokenizer.encode(END + one.question) for one in old],
            [tokenizer.encode(one.answer + END) for one in old],
        )

    def point(self, policy: Decoder, step: int) -> dict[str, Any]:
        """`Point` of a policy, as JSON values."""
        logps = _answer_logps(policy, self.prompts)
        whole = [[*prompt, *answer] for prompt, answer in zip(self.old_prompts, self.old_answers, strict=True)]
        nats = sum(nats for nats, _ in surprises(policy, whole)) - sum(
            nats for nats, _ in surprises(policy, self.old_prompts)
        )
        sampling = Sampling(temperature=0.0, max_new_tokens=4, stop=self.tokenizer.stop_ids)
        said = generate(policy, self.old_prompts, sampling)
        correct = [[*one.tokens, one.stop] == answer for (one,), answer in zip(said, self.old_answers, strict=True)]
        point = PolicyPoint(
            step,
            float(logps.exp()[self.right].sum() / len(self.prompts)),
            kl(self.start, logps),
            kl(logps, self.start),
            sum(correct) / len(correct),
            nats / sum(map(len, self.old_answers)),
        )
        return asdict(point)


def _answer_logps(decoder: Decoder, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Log-probabilities of the token behind each prompt, `[prompts, vocab]`; all prompts are equally long."""
    length = len(prompts[0])
    # The last row of each prompt predicts the answer; a token behind it makes that row one of those that are returned.
    return log_probabilities(decoder, [[*prompt, 0] for prompt in prompts])[length - 1 :: length]


@dataclass(frozen=True, kw_only=True)
class OnPolicyExperiment(SeededExperiment):
    """Read, then learn the new task on each route, measured all along; with each of so many seeds."""

    group: str = "forgetting"
    topic: str = "on-policy"
    scale: Scale

    def settings(self) -> dict[str, Any]:
        return {"command": self.command, "scale": asdict(self.scale)}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        tokenizer = character_tokenizer(ALPHABET)
        curves: dict[str, list[list[PolicyPoint]]] = {route.name: [] for route in self.scale.routes}
        starts: list[PolicyPoint] = []
        for seed in self.each_seed(display):
            start = self._start(tokenizer, seed, notebook, display)
            measure = Measure.of(start, tokenizer, self.scale.old_problems, seed)
            starts.append(PolicyPoint(**notebook.piece(f"start-{seed}", partial(measure.point, start, 0))))
            for number, route in enumerate(self.scale.routes):
                name = f"route-{seed}-{number}"
                learned = partial(
                    self._curve, route, start, measure, Run(notebook.subfolder(name), seed, name, display)
                )
                curves[route.name].append([PolicyPoint(**point) for point in notebook.piece(name, learned)])
        kinds = {
            name: [route.name for route in self.scale.routes if route.labels == labels]
            for name, labels in KINDS.items()
        }
        return tables.on_policy(
            starts, curves, {name: routes for name, routes in kinds.items() if routes}, self.command
        )

    def _start(self, tokenizer: Tokenizer, seed: int, notebook: Notebook, display: Reporter) -> Decoder:
        config = self.scale.shape.config(vocab_size=len(ALPHABET), max_positions=_LONGEST)
        read = Documents(
            partial(documents, parities=0.4),
            tokenizer,
            Pace(steps=self.scale.reading, learning_rate=_READING_RATE),
            seed,
        )
        return pretrained(config, read, notebook, display)

    def _curve(self, route: Route, start: Decoder, measure: Measure, run: Run) -> list[dict[str, Any]]:
        policy = sharing_copy(start)
        points: list[dict[str, Any]] = []

        def look(progress: Progress) -> None:
            if progress.step % self.scale.every == 0:
                points.append(measure.point(policy, progress.step))

        # What an interruption has left knows nothing of the points before it.
        shutil.rmtree(run.folder)
        run.folder.mkdir()
        if route.labels is None:
            self._reinforce(route, policy, measure.tokenizer, run, look)
        else:
            self._imitate(route, route.labels, policy, measure, run, look)
        shutil.rmtree(run.folder)
        return points

    def _numbers(self, seed: int) -> list[Parity]:
        rng = np.random.default_rng([seed, 2])
        return [Parity(int(number)) for number in rng.choice(NUMBERS, size=self.scale.steps * PROMPTS)]

    def _imitate(
        self,
        route: Route,
        labels: Labels,
        policy: Decoder,
        measure: Measure,
        run: Run,
        look: Callable[[Progress], None],
    ) -> None:
        rng = np.random.default_rng([run.seed, 3])
        examples = []
        for parity in self._numbers(run.seed):
            digits = parity.right
            weights = np.ones(len(digits))
            if labels == "one":
                weights = np.array([1.0] + [0.0] * 4)
            elif labels == "own":
                row = measure.start[parity.number - NUMBERS.start].exp()
                weights = np.array([float(row[ALPHABET.index(str(digit))]) for digit in digits])
            digit = digits[rng.choice(len(digits), p=weights / weights.sum())]
            examples.append(example(measure.tokenizer, parity, str(digit)))
        settings = sft.Settings.model_validate({"training": route.training})
        sft.learn(policy, examples, settings, run, on_progress=look)

    def _reinforce(
        self, route: Route, policy: Decoder, tokenizer: Tokenizer, run: Run, look: Callable[[Progress], None]
    ) -> None:
        numbers = self._numbers(run.seed)
        reward = WeightedJudge(
            "accuracy",
            lambda answers: [
                verdict(one.text.isdecimal() and len(one.text) == 1 and int(one.text) % 2 == one.row["number"] % 2)
                for one in answers
            ],
        )
        prompts = [Prompt(tokenizer.encode(END + one.question), {}) for one in numbers]
        settings = grpo.Settings.model_validate(
            {
                "num_generations": SAMPLES,
                "scale_rewards": "none",
                "rollouts": self.scale.steps,
                "max_new_tokens": 3,
                "training": route.training,
            }
        )
        grpo.learn(policy, Environment(tokenizer, tasks(numbers), prompts, [reward]), settings, run, on_progress=look)
