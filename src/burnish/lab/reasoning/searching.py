"""A small decoder that reads searches, is rewarded for the answer alone, and is measured: the setting of `search`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal, get_args

import numpy as np

from burnish.datasets.examples import Prompt
from burnish.generation.answer import Answer
from burnish.generation.engine import generate
from burnish.generation.request import Completion
from burnish.generation.sampling import Sampling
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.countdown import (
    END,
    FOUND,
    GIVEN_UP,
    VOCABULARY,
    CountdownProblem,
    branches,
    documents,
    draw,
    is_right,
    solved_by_search,
    tasks,
    word_tokenizer,
)
from burnish.lab.reasoning.reading import MICRO_BATCH_TOKENS, Documents, Pace, Shape, pretrained, trained_once
from burnish.methods import grpo, rft
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import Judgement, WeightedJudge, verdict
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from burnish.training.events import read_events
from burnish.training.loop import Progress

Method = Literal["GRPO", "online RFT"]
METHODS: tuple[Method, ...] = get_args(Method)

_LONGEST = 192
"""Tokens that the decoder is made for."""


@dataclass(frozen=True, kw_only=True)
class Searches(Pace):
    """What the decoder reads: searches that give up after 1 to `budget` first steps."""

    budget: int

    def documents(self, rng: np.random.Generator, count: int) -> list[str]:
        """So many searches."""
        return documents(rng, budget=self.budget, count=count)


@dataclass(frozen=True, kw_only=True)
class Rewarding:
    """How the decoder is rewarded: the same samples, steps and learning rate for every method.

    max_new_tokens: of an answer; a search may become longer than any that was read.
    """

    steps: int
    max_new_tokens: int
    prompts: int = 24
    samples: int = 8
    learning_rate: float = 3e-4

    def settings(self) -> dict[str, Any]:
        """What the methods' settings have in common."""
        return {
            "num_generations": self.samples,
            "rollouts": self.steps,
            "max_new_tokens": self.max_new_tokens,
            "training": {
                "learning_rate": self.learning_rate,
                "schedule": "constant",
                "warmup_fraction": 0.05,
                "batch_size": self.prompts,
                "micro_batch_tokens": MICRO_BATCH_TOKENS,
            },
        }


@dataclass(frozen=True)
class Looked:
    """What a policy says to held-out problems.

    hard: of each problem, whether no search that was read could have solved it. right: how many of its `samples`.
    tokens, branches, given_up: of all samples together. examples: a question with an answer. further: of each of
    further problems, all of which the model missed before, how many of as many samples are right.
    """

    hard: list[bool]
    right: list[int]
    samples: int
    tokens: int
    branches: int
    given_up: int
    examples: list[str]
    further: list[int] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Samples of all problems."""
        return len(self.right) * self.samples


@dataclass(frozen=True, kw_only=True)
class SearchSetting:
    """The decoder's shape, what it reads, how it is rewarded, and on how many problems and samples it is measured.

    further: so many more held-out problems are asked, and of those the ones kept that no sample solves before.
    """

    shape: Shape
    reading: Searches
    rewarding: Rewarding
    problems: int
    samples: int
    further: int = 0

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return word_tokenizer()

    def pretrained(self, seed: int, notebook: Notebook, display: Reporter) -> Decoder:
        """The decoder after its reading: trained once, kept in the notebook."""
        config = replace(self.shape.config(vocab_size=len(VOCABULARY), max_positions=_LONGEST), positions="learned")
        searches = Documents(self.reading.documents, self.tokenizer, self.reading, seed)
        return pretrained(config, searches, notebook, display)

    def prompt(self, problem: CountdownProblem) -> list[int]:
        """The question as tokens, behind the end of what came before."""
        return self.tokenizer.encode(f"{END} {problem.question}")

    def reinforce(
        self, policy: Decoder, method: Method, run: Run, on_progress: Callable[[Progress], None] = lambda _: None
    ) -> list[dict[str, Any]]:
        """Train the policy in place; returns what each step has logged."""
        rng = np.random.default_rng([run.seed, 2])
        problems = [draw(rng, heldout=False) for _ in range(self.rewarding.steps * self.rewarding.prompts)]
        prompts = [Prompt(self.prompt(one), {}) for one in problems]
        environment = Environment(self.tokenizer, tasks(problems), prompts, judges())
        shared = self.rewarding.settings()
        if method == "GRPO":  # without the standard deviation: the rewards alone
            group = grpo.Settings.model_validate(shared | {"scale_rewards": "none"})
            grpo.learn(policy, environment, group, run, on_progress=on_progress)
        else:
            rejection = rft.Settings.model_validate(shared | {"online": True})
            rft.learn(policy, environment, rejection, run, on_progress=on_progress)
        return read_events(run.folder)

    def missed(self, decoder: Decoder, seed: int) -> list[CountdownProblem]:
        """Those of the further problems that no sample solves; none of them is among the others, or there twice."""
        known = set(self._heldout(seed))
        rng = np.random.default_rng([seed, 4])
        drawn = dict.fromkeys(draw(rng, heldout=True) for _ in range(self.further))
        problems = [one for one in drawn if one not in known]
        counts = self._right(self._sampled(decoder, problems, seed=2 * seed), problems)
        return [problem for problem, right in zip(problems, counts, strict=True) if not right]

    def looked(
        self, decoder: Decoder, seed: int, *, draws: int = 0, further: Sequence[CountdownProblem] = ()
    ) -> dict[str, Any]:
        """`Looked` as JSON values; a seed asks the same problems, and other `draws` are other samples of them."""
        problems = self._heldout(seed)
        groups = self._sampled(decoder, problems, seed=2 * seed + draws)
        tokens, tried, given_up, said = 0, 0, 0, list[str]()
        for problem, group in zip(problems, groups, strict=True):
            answers = [self.tokenizer.decode(completion.tokens) for completion in group]
            for completion, answer in zip(group, answers, strict=True):
                tokens += len(completion.drawn)
                tried += branches(answer)
                given_up += FOUND not in answer
            said.append(f"{problem.question} {answers[0]}")
        hard = [not solved_by_search(problem, self.reading.budget) for problem in problems]
        right = self._right(groups, problems)
        others = self._right(self._sampled(decoder, further, seed=2 * seed + draws), further)
        return asdict(Looked(hard, right, self.samples, tokens, tried, given_up, said[:3], others))

    def _heldout(self, seed: int) -> list[CountdownProblem]:
        rng = np.random.default_rng([seed, 3])
        return [draw(rng, heldout=True) for _ in range(self.problems)]

    def _sampled(self, decoder: Decoder, problems: Sequence[CountdownProblem], *, seed: int) -> list[list[Completion]]:
        """So many samples of each problem, at temperature 1."""
        sampling = Sampling(max_new_tokens=self.rewarding.max_new_tokens, stop=self.tokenizer.stop_ids)
        prompts = [self.prompt(problem) for problem in problems]
        return generate(decoder, prompts, sampling, n=self.samples, seed=seed) if prompts else []

    def _right(self, groups: Sequence[Sequence[Completion]], problems: Sequence[CountdownProblem]) -> list[int]:
        """Of each problem how many samples are right."""
        return [
            sum(one.stop is not None and is_right(problem, self.tokenizer.decode(one.tokens)) for one in group)
            for problem, group in zip(problems, groups, strict=True)
        ]


def reinforced(
    setting: SearchSetting,
    method: Method,
    start: Decoder,
    seed: int,
    notebook: Notebook,
    display: Reporter,
    *,
    further: Sequence[CountdownProblem] = (),
) -> dict[str, Any]:
    """What the method logs, as `curves`, and what the policy is afterwards, as `after`; JSON values, made once."""

    def learn(policy: Decoder, run: Run, look: Callable[[Progress], None]) -> dict[str, Any]:
        return curves(setting.reinforce(policy, method, run, look))

    measure = partial(setting.looked, seed=seed, further=further)
    return trained_once(method, start, seed, notebook, display, learn=learn, measure=measure)


def judges() -> list[WeightedJudge]:
    """The reward, and what is only looked at: first steps that were tried, and whether the search gave up."""

    def right(answer: Answer) -> bool:
        problem = CountdownProblem(tuple(answer.row["numbers"]), answer.row["target"])
        return answer.finished and is_right(problem, answer.text)

    return [
        WeightedJudge("accuracy", lambda answers: [verdict(right(one)) for one in answers]),
        WeightedJudge("branches", lambda answers: [Judgement(float(branches(one.text))) for one in answers], 0.0),
        WeightedJudge("given-up", lambda answers: [Judgement(float(GIVEN_UP in one.text)) for one in answers], 0.0),
    ]


def curves(events: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Step by step the reward, the length, the first steps tried, and the share that gave up."""
    names: Mapping[str, str] = {
        "reward": "rewards/accuracy/mean",
        "length": "completions/mean_length",
        "branches": "rewards/branches/mean",
        "given up": "rewards/given-up/mean",
    }
    return {name: [float(event[key]) for event in events] for name, key in names.items()}
