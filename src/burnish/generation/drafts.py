"""Speculative decoding: tokens that are guessed, and verified in one step.

A guess is kept where it is the token that the request's own draw chooses behind those before it. So a request's tokens
are those that it would get without guesses, at any temperature and within any grammar; what Leviathan 2023
(arXiv:2211.17192) keeps by a ratio of probabilities in distribution, is kept here draw by draw.

Notable choices:
- what a prompt says is likely said again: the tokens behind the last place where the newest ones stood before are the
  guess (prompt look-up, Saxena 2023; LLMA, arXiv:2304.04487). It costs a look into a dictionary;
- a draft model guesses by the request's own draws, so that it agrees wherever both models put the draw on one token;
- a row whose guesses are wrong waits twice as long every time, and guesses are as long as the last ones were right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from burnish.forest import Forest
from burnish.generation.cache import KVCache, step_together
from burnish.generation.prefixes import common_length
from burnish.generation.rows import Row
from burnish.generation.sampling import choose
from burnish.nn.decoder import Decoder

_LONGEST_WAIT = 32
_NGRAMS = (3, 2)


class Drafter(Protocol):
    """What guesses the next tokens of rows."""

    def guess(self, row: Row, n: int) -> Sequence[int]:
        """Up to `n` tokens that may come next; none where there is nothing to guess by."""
        ...

    def forget(self, row: Row) -> None:
        """Free what is kept of a row that has ended."""
        ...


@dataclass(frozen=True, kw_only=True)
class Speculation:
    """Guess by `drafter` at most `tokens` a row, and `together` of all rows in one step."""

    drafter: Drafter
    tokens: int = 8
    together: int = 32

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.together < 1:
            raise ValueError(f"expected at least one token, got tokens={self.tokens}, together={self.together}")


@dataclass
class _Pace:
    """How a row guesses: so many tokens, and after so many steps."""

    tokens: int
    wait: int = 0
    misses: int = 0


class Guesses:
    """The guesses of a batch's rows. guessed, right: tokens so far."""

    def __init__(self, speculation: Speculation) -> None:
        self._speculation = speculation
        self._paces: dict[int, _Pace] = {}
        self.guessed, self.right = 0, 0

    def of(self, rows: Sequence[Row]) -> list[list[int]]:
        """A guess for each row, empty for one that waits, has ended or has nothing to guess by."""
        settings, left, found = self._speculation, self._speculation.together, list[list[int]]()
        for row in rows:
            if row.finished:
                found.append([])
                continue
            pace = self._paces.setdefault(row.number, _Pace(settings.tokens))
            most = min(pace.tokens, row.left - 1, left)
            guess: list[int] = []
            if pace.wait:
                pace.wait -= 1
            elif most >= 1:
                guess = list(settings.drafter.guess(row, most))[:most]
            left -= len(guess)
            found.append(guess)
        return found

    def judged(self, row: Row, guessed: int, right: int) -> None:
        """Learn how many tokens of a row's guess were right."""
        self.guessed += guessed
        self.right += right
        pace = self._paces[row.number]
        if right:
            pace.misses = 0
            pace.tokens = min(2 * guessed, self._speculation.tokens) if right == guessed else max(2, right)
        else:
            pace.misses += 1
            pace.wait = min(2**pace.misses - 1, _LONGEST_WAIT)

    def forget(self, row: Row) -> None:
        """Free what is kept of a row that has ended."""
        self._paces.pop(row.number, None)
        self._speculation.drafter.forget(row)


class LookUp:
    """Guesses what stood behind the newest tokens when they stood before, in the prompt or in the answer."""

    def __init__(self) -> None:
        self._ends: dict[int, tuple[list[int], dict[tuple[int, ...], int]]] = {}

    def guess(self, row: Row, n: int) -> Sequence[int]:
        """As `Drafter`."""
        tokens, ends = self._ends.setdefault(row.number, ([], {}))
        known = len(tokens)
        tokens += (row.prompt.tolist() if not known else []) + row.tokens[max(known - len(row.prompt), 0) :]
        # What ends with the newest token is looked for, so it must not be found.
        for end in range(max(known, 1), len(tokens)):
            for length in _NGRAMS:
                if end >= length:
                    ends[tuple(tokens[end - length : end])] = end
        for length in _NGRAMS:
            place = ends.get(tuple(tokens[-length:]))
            if place is not None:
                return tokens[place : place + n]
        return []

    def forget(self, row: Row) -> None:
        """As `Drafter`."""
        self._ends.pop(row.number, None)


class DraftModel:
    """Guesses what another model of the same vocabulary would write, each row by itself."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder.eval()
        self._kept: dict[int, tuple[KVCache, list[int]]] = {}

    def guess(self, row: Row, n: int) -> Sequence[int]:
        """As `Drafter`."""
        tokens = [*row.prompt.tolist(), *row.tokens]
        if row.number in self._kept:
            cache, fed = self._kept[row.number]
            same = min(common_length(torch.tensor(fed).numpy(), torch.tensor(tokens).numpy()), len(tokens) - 1)
            if same < len(fed):
                cache.accept(torch.tensor([same - len(fed)], device=self._decoder.device))
            hidden = self._feed(cache, tokens[same:])
        else:
            forest = Forest.from_segments([(tokens, -1)]).to(self._decoder.device)
            cache = KVCache(self._decoder, forest, [0])
            hidden = cache.last_hidden
        guess: list[int] = []
        while True:
            logits = self._decoder.logits(hidden)
            draw = torch.tensor([row.uniform(len(guess))], device=logits.device)
            guess.append(int(choose(logits, row.rule, draw).tokens))
            if len(guess) == n or guess[-1] in row.request.sampling.stop:
                break
            hidden = self._feed(cache, guess[-1:])
        self._kept[row.number] = cache, [*tokens, *guess[:-1]]
        return guess

    def _feed(self, cache: KVCache, tokens: Sequence[int]) -> torch.Tensor:
        """Feed a row's tokens; what predicts the next one."""
        fed = torch.tensor(tokens, device=self._decoder.device)
        hidden = step_together(self._decoder, [cache], fed, [[len(tokens)]])
        cache.accept(torch.tensor([len(tokens)], device=self._decoder.device))
        return hidden[-1:]

    def forget(self, row: Row) -> None:
        """As `Drafter`."""
        self._kept.pop(row.number, None)
