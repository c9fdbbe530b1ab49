"""One request while it is answered: what was drawn so far, and what draws next."""

from dataclasses import replace

import numpy as np

from burnish.generation.prefixes import Prefix
from burnish.generation.request import Completion, Request
from burnish.generation.sampling import Sampling
from burnish.text.streaming import StreamedText
from burnish.text.tokenizer import Tokenizer

_AT_ONCE = 64
"""Random numbers that are made at once."""


class Row:
    """A request's place in the batch.

    rule: how its tokens are chosen, without what ends it: equal for rows that can be chosen in one go. following: where
    the answer stands in its grammar. reused: tokens of the prompt that were there already. pin: what holds the prompt's
    keys and values in a tree of prefixes.
    """

    def __init__(self, number: int, request: Request, tokenizer: Tokenizer | None) -> None:
        """Raises ValueError for stop strings without a tokenizer."""
        sampling = request.sampling
        if sampling.stop_strings and tokenizer is None:
            raise ValueError("stop strings are looked for in the text: give the tokenizer that reads it")
        self.number, self.request = number, request
        self.rule: Sampling = replace(sampling, max_new_tokens=1, stop=frozenset(), stop_strings=())
        self.prompt = np.asarray(request.prompt, dtype=np.int64)
        self.tokens: list[int] = []
        self.reused = 0
        self.pin: Prefix | None = None
        self.finish_reason: str | None = None
        self.following = None if request.grammar is None else request.grammar.follow()
        self._stop: int | None = None
        self._logp, self._logps, self._sampling_logps = 0.0, list[float](), list[float]()
        self._text = StreamedText(tokenizer, sampling.stop_strings) if tokenizer and sampling.stop_strings else None
        self._random = np.random.Philox(key=request.seed)
        self._uniform: list[float] = []
        self._history: np.ndarray | None = None

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def last(self) -> int:
        """The token to go on from."""
        return self.tokens[-1] if self.tokens else self.request.prompt[-1]

    @property
    def n_drawn(self) -> int:
        """Tokens that were drawn, the stop token included."""
        return len(self._logps)

    @property
    def left(self) -> int:
        """Tokens that may still come."""
        return self.request.sampling.max_new_tokens - len(self.tokens)

    def uniform(self, ahead: int = 0) -> float:
        """A number in [0, 1) for the next token, or one `ahead`, of 24 bits: of the seed's counter-based generator.

        Philox (Salmon 2011, 10.1145/2063384.2063405): number i is a function of (seed, i) alone. numpy promises the
        raw stream to stay as it is.
        """
        place = len(self.tokens) + ahead
        while place >= len(self._uniform):
            self._uniform += ((self._random.random_raw(_AT_ONCE) >> np.uint64(40)) * 2.0**-24).tolist()
        return self._uniform[place]

    def history(self) -> np.ndarray:
        """Prompt and tokens so far, int64."""
        prompt, n_new = self.prompt, len(self.tokens)
        if self._history is None:
            self._history = np.empty(len(prompt) + self.request.sampling.max_new_tokens, dtype=np.int64)
            self._history[: len(prompt)] = prompt
        if n_new:
            self._history[len(prompt) + n_new - 1] = self.tokens[-1]
        return self._history[: len(prompt) + n_new]

    def take(self, token: int, logp: float, sampling_logp: float) -> Completion | None:
        """Add the token that was chosen; the completion where that ends it."""
        sampling = self.request.sampling
        self._logp += logp
        self._logps.append(logp)
        self._sampling_logps.append(sampling_logp)
        if self.following is not None:
            self.following.take(token)
        if token in sampling.stop:
            self._stop, self.finish_reason = token, "stop"
            if self.following is not None and self.following.failed:
                self.finish_reason = "grammar"
        else:
            self.tokens.append(token)
            if self._text is not None:
                self._text.add(token)
                if self._text.stopped:
                    self.finish_reason = "stop"
            if not self.finished and not self.left:
                self.finish_reason = "length"
        return self._completion() if self.finish_reason is not None else None

    def _completion(self) -> Completion:
        return Completion(
            self.tokens,
            self._logp,
            self.finish_reason or "",
            self._stop,
            None if self._text is None else self._text.text,
            self._logps,
            self._sampling_logps,
            self.reused,
        )
