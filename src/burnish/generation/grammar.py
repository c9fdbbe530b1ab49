"""Answers of a given form: which tokens may come next, by llguidance.

A grammar leaves tokens out of the draw, as `top_k` does: log-probabilities stay those of the model over its whole
vocabulary.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from burnish.errors import BurnishError
from burnish.text.tokenizer import Tokenizer


class Grammars:
    """Makes grammars for a tokenizer; `vocab_size` is that of the model's output, which may be larger."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        """Raises BurnishError where llguidance is missing, or the tokenizer has no token that ends an answer."""
        if find_spec("llguidance") is None:
            raise BurnishError("answers of a given form need llguidance: pip install 'burnish[serve]'")
        if not tokenizer.stop_ids:
            raise BurnishError(f"{tokenizer.source}: no token ends an answer, so one of a given form could not end")
        from llguidance import LLTokenizer

        stops = sorted(tokenizer.stop_ids)
        self._tokenizer = LLTokenizer(tokenizer.backend.to_str(), n_vocab=vocab_size, eos_token=stops)
        self._vocab_size = vocab_size

    def json(self, schema: Mapping[str, Any] | None = None) -> "Grammar":
        """JSON by a schema; any object where None. Raises ValueError for a schema that cannot be followed."""
        from llguidance import LLMatcher

        text = json.dumps({"type": "object"} if schema is None else schema)
        try:
            return self._made(LLMatcher.grammar_from_json_schema(text))
        except ValueError as error:
            raise ValueError(f"the JSON schema cannot be followed: {error}") from error

    def regex(self, pattern: str) -> "Grammar":
        """Text that a regular expression, in Rust's syntax, matches as a whole. Raises ValueError for none."""
        from llguidance import LLMatcher

        try:
            return self._made(LLMatcher.grammar_from_regex(pattern))
        except ValueError as error:
            raise ValueError(f"the regular expression cannot be followed: {error}") from error

    def _made(self, grammar: str) -> "Grammar":
        from llguidance import LLMatcher

        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if said := matcher.get_error():
            raise ValueError(said.strip().splitlines()[0])
        return Grammar(matcher, self._vocab_size, self._tokenizer.eos_tokens)


class Grammar:
    """A form that answers may have; each answer is followed by a `Following` of its own.

    matcher: the beginning of every answer. To make one takes seconds for a large form, to copy it does not, and what
    the copies find out of the form they share.
    """

    def __init__(self, matcher: Any, vocab_size: int, stops: Sequence[int]) -> None:
        self._matcher, self._vocab_size, self._stops = matcher, vocab_size, stops

    def follow(self) -> "Following":
        """The beginning of an answer."""
        return Following(self._matcher.deep_copy(), self._vocab_size, self._stops)


class Following:
    """Where an answer stands in its grammar.

    failed: whether that could not be found out within llguidance's limits.
    """

    def __init__(self, matcher: Any, vocab_size: int, stops: Sequence[int]) -> None:
        self._matcher, self._vocab_size, self._stops = matcher, vocab_size, list(stops)
        self.failed = False

    def allowed(self) -> Tensor:
        """`[vocab]` bool: the tokens that may come next; those that end the answer once it has failed."""
        bits = self._matcher.compute_bitmask()
        self.failed = bool(self._matcher.is_error())
        if self.failed:
            allowed = torch.zeros(self._vocab_size, dtype=torch.bool)
            allowed[self._stops] = True
            return allowed
        unpacked = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")
        return torch.from_numpy(unpacked[: self._vocab_size].astype(bool))

    def take(self, token: int) -> None:
        """Go on behind a token."""
        self._matcher.consume_token(token)
