"""The controlled setting of Rafailov 2023, section 6.1, in small: openings of real texts, and a reward that is known.

Notable choices:
- the true reward is VADER's compound sentiment (Hutto and Gilbert 2014), from -1 to 1, of the opening with its
  continuation: a program, so "PPO with the true reward" means what it says;
- a continuation is an answer without a chat template; the token that ends it, where it is not cut, is part of it;
- KL(π ∥ π_ref) is that of whole continuations: the mean over samples from π of their full log-ratio, k1.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.datasets.examples import PreferenceExample
from burnish.errors import BurnishError, DataError
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.lab.text import STANDARD_LIBRARY, read_documents
from burnish.methods.sequences import answer_logps
from burnish.nn.decoder import Decoder
from burnish.objectives.kl import kl_estimate
from burnish.text.tokenizer import Tokenizer

POSITIVE = 0.05
"""VADER's authors call a text positive from this compound score on."""

_SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))[A-Z][a-z']*(?: [A-Za-z',]+){7,}")
"""The first eight plain words of a sentence, or more: prose, and neither code nor tables."""
_HELDOUT = 1 / 4
_MICRO_BATCH_TOKENS = 4096


def require_sentiment() -> None:
    """Raise BurnishError where the reward is not installed."""
    if find_spec("vaderSentiment") is None:
        raise BurnishError(
            "the sentiment reward needs vaderSentiment, which is not installed: pip install 'burnish[lab]'"
        )


class Sentiment:
    """VADER's compound score of texts, from -1 (negative) to 1 (positive)."""

    def __init__(self) -> None:
        require_sentiment()
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyzer = SentimentIntensityAnalyzer()

    def __call__(self, texts: Iterable[str]) -> list[float]:
        return [float(self._analyzer.polarity_scores(text)["compound"]) for text in texts]


@dataclass(frozen=True)
class Openings:
    """Token ids of the openings that are trained on and of those that are only evaluated."""

    train: list[list[int]]
    heldout: list[list[int]]
    source: str

    @property
    def identity(self) -> str:
        return hashlib.sha256(repr((self.train, self.heldout)).encode()).hexdigest()[:16]


def load_openings(file: Path | None, tokenizer: Tokenizer, *, lengths: tuple[int, int], seed: int) -> Openings:
    """The sentences of `file`, or of the standard library's documentation, each cut to `lengths` tokens (least, most).

    In an order drawn from `seed`; a hash of each sentence decides its side. Raises DataError where a side is empty.
    """
    sentences = sorted(set(_sentences(read_documents(file))))
    rng = np.random.default_rng(seed)
    start = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    sides: dict[bool, list[list[int]]] = {False: [], True: []}
    for number in rng.permutation(len(sentences)):
        tokens = tokenizer.encode(sentences[number])[: int(rng.integers(lengths[0], lengths[1] + 1))]
        if len(tokens) >= lengths[0]:
            first = int.from_bytes(hashlib.sha256(sentences[number].encode()).digest()[:4], "big")
            sides[first < _HELDOUT * 2**32].append([*start, *tokens])
    source = str(file) if file else STANDARD_LIBRARY
    if not sides[False] or not sides[True]:
        raise DataError(
            f"{source}: {len(sentences)} sentences that begin with eight plain words; give a longer text of prose"
        )
    return Openings(sides[False], sides[True], source)


def _sentences(documents: Iterable[bytes]) -> Iterable[str]:
    for document in documents:
        for paragraph in document.decode("utf-8", "replace").split("\n\n"):
            yield from _SENTENCE.findall(" ".join(paragraph.split()))


@dataclass(frozen=True)
class Samples:
    """Continuations, opening by opening: their tokens with the one that ended them, log π in nats, and true rewards."""

    answers: list[list[list[int]]]
    logps: list[list[float]]
    rewards: list[list[float]]

    def pairs(self, prompts: Sequence[list[int]], *, gap: float) -> list[PreferenceExample]:
        """Of each opening the continuations of the highest and the lowest reward, if they differ by more than `gap`."""
        found = []
        for prompt, answers, rewards in zip(prompts, self.answers, self.rewards, strict=True):
            best, worst = rewards.index(max(rewards)), rewards.index(min(rewards))
            if rewards[best] - rewards[worst] > gap:
                found.append(PreferenceExample(prompt, answers[best], answers[worst]))
        return found


@dataclass(frozen=True)
class FrontierOutcome:
    """What a policy earns on held-out openings and how far it is from the reference.

    reward, kl: means over its samples; `*_error`: their standard errors. positive: share of rewards from `POSITIVE` on.
    tokens: mean length. example: an opening with its continuation.
    """

    reward: float
    reward_error: float
    kl: float
    kl_error: float
    positive: float
    tokens: float
    example: str


@dataclass(frozen=True)
class Setting:
    """The reference policy, which never trains, its tokenizer, the reward, and how continuations are drawn."""

    reference: Decoder
    tokenizer: Tokenizer
    sentiment: Sentiment
    sampling: Sampling
    openings: Openings

    def sample(self, policy: Decoder, prompts: Sequence[list[int]], *, n: int, seed: int) -> Samples:
        """`n` continuations of each prompt, with their true rewards."""
        groups = generate(policy, prompts, self.sampling, n=n, seed=seed)
        answers = [[c.tokens if c.stop is None else [*c.tokens, c.stop] for c in group] for group in groups]
        texts = [self.text(prompt, answer) for prompt, group in zip(prompts, answers, strict=True) for answer in group]
        rewards = self.sentiment(texts)
        return Samples(
            answers,
            [[completion.logp for completion in group] for group in groups],
            [rewards[start : start + n] for start in range(0, len(rewards), n)],
        )

    def text(self, prompt: Sequence[int], answer: Sequence[int]) -> str:
        """What is judged: the opening with its continuation."""
        return self.tokenizer.decode([*prompt, *answer])

    def evaluate(self, policy: Decoder, *, answers: int, seed: int) -> FrontierOutcome:
        """Draw about so many continuations of held-out openings, as many of each, and look at them."""
        prompts = self.openings.heldout[:answers]
        n = max(1, answers // len(prompts))
        samples = self.sample(policy, prompts, n=n, seed=seed)
        repeated = [prompt for prompt in prompts for _ in range(n)]
        flat = [answer for group in samples.answers for answer in group]
        reference = answer_logps(self.reference, repeated, flat, micro_batch_tokens=_MICRO_BATCH_TOKENS)
        kl = kl_estimate(
            torch.tensor(samples.logps).flatten(), torch.stack([values.sum() for values in reference]), "k1"
        )
        rewards = torch.tensor(samples.rewards).flatten()
        return FrontierOutcome(
            rewards.mean().item(),
            _standard_error(rewards),
            kl.mean().item(),
            _standard_error(kl),
            (rewards >= POSITIVE).float().mean().item(),
            sum(map(len, flat)) / len(flat),
            self.text(repeated[0], flat[0]),
        )


def _standard_error(values: Tensor) -> float:
    return (values.std() / len(values) ** 0.5).item() if len(values) > 1 else 0.0
