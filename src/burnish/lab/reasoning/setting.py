"""The setting that the experiments on additions share: a small decoder that read additions, and how it is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.arithmetic import (
    ALIGNED_ALPHABET,
    END,
    WAYS,
    Addition,
    Way,
    character_tokenizer,
    documents,
    draw,
    is_right,
    longest_answer,
    way_of,
)
from burnish.lab.reasoning.reading import Documents, Pace, Shape, pretrained
from burnish.nn.decoder import Decoder
from burnish.runs.progress import Reporter
from burnish.text.tokenizer import Tokenizer

_LONGEST = 128
"""Tokens that the decoder is made for; no addition here has as many."""


@dataclass(frozen=True, kw_only=True)
class FirstReading(Pace):
    """What the decoder reads before any reinforcement: additions of 1 to `digits` digits, written in `shares`."""

    digits: int
    shares: Mapping[Way, float]

    def documents(self, rng: np.random.Generator, count: int) -> list[str]:
        """So many additions."""
        return documents(rng, digits=self.digits, shares=self.shares, count=count)


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Held-out problems of each number of digits, and the samples of each, at temperature 1."""

    digits: Sequence[int]
    problems: int
    samples: int


@dataclass(frozen=True)
class PolicyMeasures:
    """What a policy says to the problems of one number of digits.

    right: of each problem, how many of its samples are. ways, right_ways: samples in each way, and those of them that
    are right. tokens: of all samples together. examples: a question with an answer.
    """

    right: list[int]
    samples: int
    ways: dict[str, int]
    right_ways: dict[str, int]
    tokens: int
    examples: list[str]

    @property
    def n(self) -> int:
        """Samples of all problems."""
        return len(self.right) * self.samples

    @property
    def rates(self) -> list[float]:
        """Of each problem the share of samples that are right."""
        return [right / self.samples for right in self.right]

    @property
    def accuracy(self) -> float:
        """pass@1."""
        return sum(self.right) / self.n

    @property
    def length(self) -> float:
        """Tokens of an answer, its end included."""
        return self.tokens / self.n

    def share(self, way: Way) -> float:
        """Of the samples those in a way."""
        return self.ways[way] / self.n

    def accuracy_of(self, way: Way) -> float | None:
        """Of the samples in a way those that are right; None where there is none."""
        return self.right_ways[way] / self.ways[way] if self.ways[way] else None


@dataclass(frozen=True)
class Setting:
    """The decoder's shape, what it reads, and how it is measured."""

    shape: Shape
    reading: FirstReading
    measuring: Measuring

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return character_tokenizer(ALIGNED_ALPHABET)

    def pretrained(self, seed: int, notebook: Notebook, display: Reporter, *, name: str = "pretrained") -> Decoder:
        """The decoder after its reading: trained once, kept in the notebook under a name."""
        config = replace(
            self.shape.config(vocab_size=len(ALIGNED_ALPHABET), max_positions=_LONGEST), positions="learned"
        )
        additions = Documents(self.reading.documents, self.tokenizer, self.reading, seed)
        return pretrained(config, additions, notebook, display, name=name)

    def prompt(self, problem: Addition) -> list[int]:
        """The question as tokens, behind the end of what came before."""
        return self.tokenizer.encode(END + problem.aligned)

    def drawn(self, digits: Sequence[int], count: int, seed: Sequence[int], *, heldout: bool = False) -> list[Addition]:
        """So many problems of these digits in turn, all different where there are enough."""
        rng = np.random.default_rng(seed)
        return [draw(rng, digits[number % len(digits)], heldout=heldout) for number in range(count)]

    def measured(self, decoder: Decoder, seed: int) -> dict[str, Any]:
        """`PolicyMeasures` of each number of digits, as JSON values; the same seed asks the same problems."""
        found = {}
        for digits in self.measuring.digits:
            problems = self.drawn([digits], self.measuring.problems, [seed, digits], heldout=True)
            found[str(digits)] = asdict(self.asked(decoder, problems, digits, seed, samples=self.measuring.samples))
        return found

    def asked(
        self, decoder: Decoder, problems: Sequence[Addition], digits: int, seed: int, *, samples: int
    ) -> PolicyMeasures:
        """What the decoder says to problems of so many digits, `samples` times each."""
        sampling = Sampling(max_new_tokens=longest_answer(digits) + 2, stop=self.tokenizer.stop_ids)
        prompts = [self.prompt(problem) for problem in problems]
        groups = generate(decoder, prompts, sampling, n=samples, seed=seed)
        ways: dict[str, int] = dict.fromkeys(WAYS, 0)
        right_ways = dict(ways)
        right, tokens, said = [0] * len(problems), 0, list[str]()
        for number, (problem, group) in enumerate(zip(problems, groups, strict=True)):
            for completion in group:
                answer = self.tokenizer.decode(completion.tokens)
                ends = completion.stop is not None
                correct = ends and is_right(problem, answer)
                right[number] += correct
                ways[way_of(answer)] += 1
                right_ways[way_of(answer)] += correct
                tokens += len(completion.tokens) + ends
            said.append(problem.aligned + self.tokenizer.decode(group[0].tokens))
        return PolicyMeasures(right, samples, ways, right_ways, tokens, said[:2])


def read_measured(kept: Mapping[str, Any]) -> dict[int, PolicyMeasures]:
    """What `Setting.measured` gave, by digits."""
    return {int(digits): PolicyMeasures(**values) for digits, values in kept.items()}
