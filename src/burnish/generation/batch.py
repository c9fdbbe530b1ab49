"""The rows that decode together, and the steps that they take.

Rows that join between two steps bring a cache of their own; all rows go through the network's products together, and
through attention cache by cache. Caches are joined once there are too many of them.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from burnish.errors import BurnishError
from burnish.generation.cache import KVCache, step_together
from burnish.generation.drafts import Guesses, Speculation
from burnish.generation.request import Drawn
from burnish.generation.rows import Row
from burnish.generation.sampling import Choice, Sampling, choose
from burnish.nn.decoder import Decoder
from burnish.nn.routed_lora import Adapters

_WORTH_PACKING = 16
"""Steps from which on packing the weights costs less than it saves."""
_CROWDED = 0.85
"""Finished rows leave once the rest is at most this share of their cache: leaving copies the keys and values of all."""
_MOST_CACHES = 4
"""Each costs some small operations a layer, and joining two a copy of what their rows have generated."""


@dataclass(eq=False)
class _Wave:
    """Rows that share a cache, in its order."""

    cache: KVCache
    rows: list[Row]


class Batch:
    """Rows at different places of their answers."""

    def __init__(
        self, decoder: Decoder, speculation: Speculation | None = None, adapters: Adapters | None = None
    ) -> None:
        self._decoder, self._adapters = decoder, adapters
        self.guesses = None if speculation is None else Guesses(speculation)
        self._waves: list[_Wave] = []
        self._hidden: list[Tensor] = []
        self._packed_for = 0
        self._verified: list[list[int]] = []
        """Of the step that has begun, each row's guess; of those that joined in it, nothing."""

    @property
    def rows(self) -> list[Row]:
        """The rows in the order of the batch, those that have finished and not left yet included."""
        return [row for wave in self._waves for row in wave.rows]

    def join(self, rows: Sequence[Row], cache: KVCache) -> None:
        """Add rows whose prompts a cache holds, in its order."""
        self._waves.append(_Wave(cache, list(rows)))
        self._hidden.append(cache.last_hidden)

    def clear(self) -> None:
        """Let all rows leave, with their keys and values."""
        self._waves, self._hidden = [], []

    def generated(self, row: Row) -> Tensor:
        """Keys and values of what a row has generated and fed back: all that it has drawn but the last token."""
        wave = next(wave for wave in self._waves if row in wave.rows)
        return wave.cache.generated(wave.rows.index(row), row.n_drawn - 1)

    def advance(self) -> None:
        """Let finished rows leave, and feed back the last token of the others."""
        self._leave()
        self._join_waves()
        self._hidden = []
        if self._waves:
            rows = self.rows
            self._pack(rows)
            if self.guesses is not None and any(guesses := self.guesses.of(rows)):
                self._verify(rows, guesses)
                return
            tokens = torch.tensor([row.last for row in rows], device=self._decoder.device)
            with self._routed(rows, [1] * len(rows)):
                self._hidden = [step_together(self._decoder, [wave.cache for wave in self._waves], tokens)]

    def choose(self) -> list[Drawn]:
        """Choose the next token of each row that has not finished."""
        rows = self.rows
        if not rows:
            return []
        hidden = self._hidden[0] if len(self._hidden) == 1 else torch.cat(self._hidden)
        logits = self._decoder.logits(hidden)
        if not self._verified:
            return self._choose_of(rows, logits)
        verified, self._verified = self._verified, []
        guesses = [*verified, *([] for _ in rows[len(verified) :])]
        # Row by row, the place of its last token's logits and of those behind each token of its guess.
        first = [0, *accumulate(1 + len(guess) for guess in guesses)]
        taken, right = [0] * len(rows), [0] * len(rows)
        drawn: list[Drawn] = []
        going = list(range(len(rows)))
        while going:
            at = torch.tensor([first[place] + taken[place] for place in going], device=logits.device)
            found = self._choose_of([rows[place] for place in going], logits[at])
            drawn += found
            chosen = {one.request: one.token for one in found}
            on = []
            for place in going:
                row, guess = rows[place], guesses[place]
                token = chosen.get(row.number)
                if token is None:
                    continue
                if taken[place] < len(guess) and guess[taken[place]] == token:
                    right[place] += 1
                    if not row.finished:
                        on.append(place)
                taken[place] += 1
            going = on
        self._accept(verified, taken, right)
        return drawn

    def _verify(self, rows: Sequence[Row], guesses: list[list[int]]) -> None:
        """Feed back the last token of each row with its guess behind it."""
        self._verified = guesses
        fed = [token for row, guess in zip(rows, guesses, strict=True) for token in (row.last, *guess)]
        counts, place = [], 0
        for wave in self._waves:
            counts.append([1 + len(guess) for guess in guesses[place : place + len(wave.rows)]])
            place += len(wave.rows)
        tokens = torch.tensor(fed, device=self._decoder.device)
        with self._routed(rows, [1 + len(guess) for guess in guesses]):
            self._hidden = [step_together(self._decoder, [wave.cache for wave in self._waves], tokens, counts)]

    @contextmanager
    def _routed(self, rows: Sequence[Row], counts: Sequence[int]) -> Iterator[None]:
        """Within the block each row's tokens, so many, are those of its adapter."""
        if self._adapters is None:
            yield
            return
        places: dict[str, list[int]] = {}
        for row, stop, count in zip(rows, accumulate(counts), counts, strict=True):
            if row.request.adapter is not None:
                places.setdefault(row.request.adapter, []).extend(range(stop - count, stop))
        device = self._decoder.device
        with self._adapters.routed([(name, torch.tensor(found, device=device)) for name, found in places.items()]):
            yield

    def _accept(self, verified: list[list[int]], taken: Sequence[int], right: Sequence[int]) -> None:
        """Keep of what was fed what is part of the answers.

        taken: tokens that each row has drawn in this step; right: of its guess.
        """
        place = 0
        assert self.guesses is not None
        for wave in self._waves:
            if place == len(verified):
                break  # has joined in this step
            kept = []
            for row in wave.rows:
                if verified[place]:
                    self.guesses.judged(row, len(verified[place]), right[place])
                kept.append(max(taken[place], 1))
                place += 1
            wave.cache.accept(torch.tensor(kept, device=self._decoder.device))

    def _choose_of(self, rows: Sequence[Row], logits: Tensor) -> list[Drawn]:
        by_rule: dict[Sampling, list[int]] = {}
        for place, row in enumerate(rows):
            by_rule.setdefault(row.rule, []).append(place)
        drawn = []
        for rule, places in by_rule.items():
            whole = len(places) == len(rows)
            drawn += _drawn([rows[place] for place in places], rule, logits if whole else logits[places])
        return drawn

    def _leave(self) -> None:
        staying = []
        for wave in self._waves:
            left = [place for place, row in enumerate(wave.rows) if not row.finished]
            if left and len(left) <= _CROWDED * len(wave.rows):
                wave.cache.keep(torch.tensor(left, device=self._decoder.device))
                wave.rows = [wave.rows[place] for place in left]
            if left:
                staying.append(wave)
        self._waves = staying

    def _join_waves(self) -> None:
        """Join the two smallest caches while there are too many, so that a large one is copied rarely."""
        while len(self._waves) > _MOST_CACHES:
            small = sorted(sorted(range(len(self._waves)), key=lambda place: self._waves[place].cache.n_bytes)[:2])
            first, second = self._waves[small[0]], self._waves.pop(small[1])
            first.cache.join(second.cache)
            first.rows += second.rows

    def _pack(self, rows: Sequence[Row]) -> None:
        if len(rows) != self._packed_for and max(row.left for row in rows) >= _WORTH_PACKING - 1:
            self._packed_for = len(rows)
            self._decoder.pack(_rounded(len(rows)))


def _rounded(rows: int) -> int:
    """`rows` rounded up to three binary digits: as rows come one by one, weights are packed anew ever less often."""
    step = 1 << max(0, rows.bit_length() - 3)
    return math.ceil(rows / step) * step


def _drawn(rows: Sequence[Row], rule: Sampling, logits: Tensor) -> list[Drawn]:
    """The next tokens of rows that choose alike; logits `[rows, vocab]`."""
    uniform = [row.uniform() if rule.temperature and not row.finished else 0.0 for row in rows]
    history = None if rule.repetition_penalty == 1 else _histories(rows).to(logits.device)
    draws = torch.tensor(uniform, device=logits.device)
    choice = choose(logits, rule, draws, history=history, allowed=_allowed(rows, logits))
    tokens, logps = choice.tokens.tolist(), choice.logps.tolist()
    sampling_logps = logps if choice.sampling_logps is choice.logps else choice.sampling_logps.tolist()
    alternatives = _alternatives(rows, logits, choice)
    drawn = []
    for place, row in enumerate(rows):
        if not row.finished:
            if math.isnan(logps[place]):
                raise BurnishError(
                    "the model's logits are no numbers any more, so it can say nothing: its weights were damaged, or a "
                    "training diverged (a lower learning_rate may help)"
                )
            completion = row.take(tokens[place], logps[place], sampling_logps[place])
            top = alternatives[place] if alternatives else ()
            drawn.append(Drawn(row.number, tokens[place], logps[place], top, completion))
    return drawn


def _allowed(rows: Sequence[Row], logits: Tensor) -> Tensor | None:
    """`[rows, vocab]` bool: the tokens that grammars allow; None where no row has one."""
    if all(row.following is None for row in rows):
        return None
    allowed = torch.ones(logits.shape, dtype=torch.bool)
    for place, row in enumerate(rows):
        if row.following is not None and not row.finished:
            allowed[place] = row.following.allowed()
    return allowed.to(logits.device)


def _histories(rows: Sequence[Row]) -> Tensor:
    """`[rows, longest]` int64: each row's prompt and tokens so far, filled up with repeats."""
    histories = [row.history() for row in rows]
    filled = np.empty((len(rows), max(map(len, histories))), dtype=np.int64)
    for place, history in enumerate(histories):
        filled[place, : len(history)] = history
        filled[place, len(history) :] = history[-1]
    return torch.from_numpy(filled)


def _alternatives(rows: Sequence[Row], logits: Tensor, choice: Choice) -> list[tuple[tuple[int, float], ...]]:
    """For each row the most probable tokens with their log-probabilities, in nats; nothing where no row wants any."""
    most = max(row.request.alternatives for row in rows)
    if not most:
        return []
    # The chosen token's log-probability is there already, and with it what all logits are lowered by.
    lowered = choice.logps - logits.gather(1, choice.tokens[:, None]).squeeze(1)
    top = logits.topk(min(most, logits.shape[1]))
    values, tokens = (top.values + lowered[:, None]).tolist(), top.indices.tolist()
    return [
        tuple(zip(tokens[place], values[place], strict=True))[: row.request.alternatives]
        for place, row in enumerate(rows)
    ]
