"""A decoder whose answers can all be enumerated: DPO on sampled pairs of them, and on all.

Notable choices:
- all pairs at once are what infinitely many sampled ones are: each weighs as much as it is drawn and preferred, so that
  a step has the exact gradient of equation 7, by the objective that the method has.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.datasets.examples import PreferenceExample
from burnish.lab.dpo.theory import PreferenceProblem
from burnish.methods import dpo
from burnish.methods.pretrain import drawn
from burnish.methods.sequences import answer_logps
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig
from burnish.training.loop import Progress

VOCABULARY = 4
"""Tokens. A prompt is one of them, an answer any so many of them: there is nothing else that the decoder could say."""
LENGTH = 3
"""Tokens of an answer: 64 answers."""
STEPS, LEAST_BATCH = 1024, 8
"""Pairs are learned from in so many optimizer steps, or in fewer where a step would have less than so many pairs."""
LEARNING_RATE = 3e-3
EXACT_STEPS = (32, 128, 512)
"""Steps of Adam with all pairs at once, each a training of its own."""

_CONFIG = DecoderConfig(
    vocab_size=VOCABULARY,
    d_model=32,
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    head_dim=16,
    d_ff=96,
    max_positions=8,
    positions="learned",  # rotary ones leave a decoder in one state behind 0, 00 and 000: π* would be out of reach
    tie_embeddings=False,
)
_SPREAD = 8.0
"""Random weights say nearly the same of every token; so many times as large they do not."""


def reference_decoder(*, seed: int) -> Decoder:
    """A decoder with random weights that likes some answers much better than others."""
    decoder = drawn(_CONFIG, seed=seed)
    with torch.no_grad():
        decoder.output_projection.weight.mul_(_SPREAD)
    return decoder.eval()


@dataclass(frozen=True)
class AnswerSpace:
    """All prompts and all answers of so many tokens."""

    length: int = LENGTH
    prompts: ClassVar[int] = VOCABULARY

    @cached_property
    def all(self) -> list[list[int]]:
        return [list(answer) for answer in itertools.product(range(VOCABULARY), repeat=self.length)]

    def token_logps(self, decoder: Decoder) -> Tensor:
        """log π of each token: float32 `[prompts, answers, length]`."""
        prompts = [[prompt] for prompt in range(self.prompts) for _ in self.all]
        logps = answer_logps(decoder, prompts, self.all * self.prompts)
        return torch.stack(logps).view(self.prompts, len(self.all), self.length)

    @cached_property
    def batch(self) -> Batch:
        """All prompts with all answers."""
        rows = [[prompt, *answer] for prompt in range(self.prompts) for answer in self.all]
        return Batch.from_rows(rows, [[False, *[True] * self.length]] * len(rows))

    def trainable_logps(self, decoder: Decoder) -> Tensor:
        """log π(y|x) of whole answers, with gradients: float64 `[prompts, answers]`."""
        logps = decoder.logps(self.batch.forest, self.batch.scored)[self.batch.entries]
        return logps.double().view(self.prompts, len(self.all), self.length).sum(-1)

    def logps(self, decoder: Decoder) -> Tensor:
        """log π(y|x) of whole answers: float64 `[prompts, answers]`."""
        return self.token_logps(decoder).double().sum(-1)


@dataclass(frozen=True)
class Pairs:
    """Pairs of answers drawn from the reference and labelled by Bradley-Terry, with the reference's log-probabilities.

    A pair of equal answers teaches nothing and is not drawn.
    """

    examples: list[PreferenceExample]
    reference_logps: list[Tensor]


def draw_pairs(
    problem: PreferenceProblem, answers: AnswerSpace, token_logps: Tensor, count: int, *, seed: int
) -> Pairs:
    """`count` pairs for prompts that are as frequent as each other; what is preferred is drawn by equation 1."""
    rng = np.random.default_rng(seed)
    both = problem.drawn_pairs().masked_fill(torch.eye(len(answers.all), dtype=torch.bool), 0).flatten(1)
    cumulative = (both / both.sum(1, keepdim=True)).cumsum(1).numpy()
    preferences = problem.preferences.numpy()
    asked, places, labels = rng.integers(answers.prompts, size=count), rng.random(count), rng.random(count)
    examples, logps = [], []
    for prompt, place, label in zip(asked.tolist(), places, labels, strict=True):
        pair = min(int(np.searchsorted(cumulative[prompt], place, side="right")), both.shape[1] - 1)
        first, second = divmod(pair, len(answers.all))
        if label >= preferences[prompt, first, second]:
            first, second = second, first
        examples.append(PreferenceExample([prompt], answers.all[first], answers.all[second]))
        logps.append(torch.cat([token_logps[prompt, first], token_logps[prompt, second]]))
    return Pairs(examples, logps)


def learned(
    pairs: Pairs, beta: float, run: Run, *, seed: int, on_progress: Callable[[Progress], None] = lambda _: None
) -> Decoder:
    """The reference of `seed`, trained by DPO with each pair once."""
    decoder = reference_decoder(seed=seed)
    size = max(LEAST_BATCH, len(pairs.examples) // STEPS)
    training = {"learning_rate": LEARNING_RATE, "batch_size": size, "micro_batch_tokens": 8192}
    settings = dpo.Settings.model_validate({"beta": beta, "training": TrainingConfig.model_validate(training)})
    dpo.learn(decoder, pairs.examples, pairs.reference_logps, settings, run, on_progress=on_progress)
    return decoder.eval()


def learned_exactly(problem: PreferenceProblem, answers: AnswerSpace, *, seed: int, steps: int) -> Decoder:
    """The reference of `seed`, trained by equation 7 over all pairs, the learning rate falling to 0 by a cosine."""
    decoder = reference_decoder(seed=seed).train()
    loss = problem.dpo_loss(problem.preferences)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(answers.trainable_logps(decoder)).backward()
        optimizer.step()
        schedule.step()
    return decoder.eval()
