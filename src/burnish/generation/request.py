"""What the engine is asked for, and what it gives back."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from burnish.generation.grammar import Grammar
from burnish.generation.sampling import Sampling


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """One completion of one prompt. Everything that decides its tokens belongs to it.

    prompt: tokens, at least one; of an encoder-decoder, what the target begins with.
    seed: the draw of new token i is number i of a counter-based generator with this key.
    alternatives: so many of the most probable tokens are told with each new one.
    grammar: the form that the answer must have.
    remember: whether keys and values of the answer stay for a later prompt that goes on behind it, as a conversation
        does, in an engine that keeps any.
    adapter: the name of the engine's adapter that answers; None is the model itself.
    source: what an encoder-decoder writes from.
    """

    prompt: Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    alternatives: int = 0
    grammar: Grammar | None = None
    remember: bool = False
    adapter: str | None = None
    source: Sequence[int] = ()


@dataclass(frozen=True)
class Completion:
    """Generated token ids without the stop token; `logp` is their summed log-probability, the stop's included.

    `logp` is in nats under the model itself (temperature 1, nothing truncated). `finish_reason` is `stop` or `length`,
    or `grammar` where the grammar could not be followed on;
    `stop` is the token that ended it, None where a stop string or the length did. `text` is there where stop strings
    are: the completion's, cut before the first of them, while the tokens are all that were drawn. `logps`: the terms of
    `logp`, token by token; `sampling_logps`: the same at the temperature that they were drawn at.
    `reused`: tokens of the prompt whose keys and values were there already.
    """

    tokens: list[int]
    logp: float
    finish_reason: str
    stop: int | None = None
    text: str | None = None
    logps: list[float] = field(default_factory=list, compare=False)
    sampling_logps: list[float] = field(default_factory=list, compare=False)
    reused: int = field(default=0, compare=False)

    @property
    def drawn(self) -> list[int]:
        """All tokens that were drawn, with the one that ended it."""
        return self.tokens if self.stop is None else [*self.tokens, self.stop]


@dataclass(frozen=True)
class Drawn:
    """The next token of a request, with its log-probability under the model itself, in nats.

    alternatives: the most probable tokens in its place with theirs, as many as the request asked for. completion: the
    whole, where this token ended it.
    """

    request: int
    token: int
    logp: float
    alternatives: Sequence[tuple[int, float]] = ()
    completion: Completion | None = None


def derived_seed(*parts: int) -> int:
    """A seed that is a function of other numbers, such as (seed, prompt, sample); not negative, 64 bits."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def samples(
    prompt: Sequence[int], sampling: Sampling, n: int, seed: int, place: int = 0, *, grammar: Grammar | None = None
) -> list[Request]:
    """`n` independent requests for the prompt at a `place` among others."""
    return [
        Request(prompt=prompt, sampling=sampling, seed=derived_seed(seed, place, sample), grammar=grammar)
        for sample in range(n)
    ]
