"""Answers of a given form: which tokens may come next, by llguidance.

A grammar leaves tokens out of the draw, as `top_k` does: log-probabilities stay those of the model over its whole
vocabulary.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from burnish.errors import BurnishError
from burnish.text.tokenizer import Tokenizer

_KEPT_GRAMMARS = 16
"""Of a growing grammar, by the names that it was made with; one of SQL with five tables takes 7 MiB."""


_ITEMS, _ROW, _FUEL = 2_000_000, 20_000, 5_000_000
"""llguidance's limits of a step for a grammar that is ours: at its own, SQL of five tables fails at the second token.

What a client sends, a schema or an expression, keeps to llguidance's own.
"""


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
        self._vocab_size, self._source = vocab_size, tokenizer

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

    def lark(self, grammar: str) -> "Grammar":
        """Text of a grammar in llguidance's form of Lark's. Raises ValueError for none."""
        return self._made(grammar, patient=True)

    def growing(
        self, grammar: Callable[[Sequence[str]], str], named: Callable[[str], Sequence[str]]
    ) -> "GrowingGrammar":
        """Text of a grammar that depends on names which the text itself gives.

        grammar: made of the names so far. named: those of a text. Raises ValueError for no grammar.
        """
        whole = self.lark(grammar(()))
        return GrowingGrammar(whole, lambda names: self.lark(grammar(names)), named, self._tokenizer)

    def calls(self, calls: Sequence[tuple[str, Mapping[str, Any], str]]) -> "Grammar":
        """One of several texts with JSON by a schema in it, each given as before, schema and after.

        Control tokens may stand in what is around. Raises ValueError for a schema that cannot be followed.
        """
        from llguidance import LLMatcher

        rules = [f"start: {' | '.join(f'call_{number}' for number in range(len(calls)))}"]
        for number, (before, schema, after) in enumerate(calls):
            around = (self._literal(before), f"json_{number}", self._literal(after))
            rules += [f"call_{number}: {' '.join(filter(None, around))}", f"json_{number}: %json {json.dumps(schema)}"]
        try:
            return self._made(LLMatcher.grammar_from_lark("\n".join(rules)))
        except ValueError as error:
            raise ValueError(f"the JSON schema cannot be followed: {error}") from error

    def _literal(self, text: str) -> str:
        """A text in Lark's notation, its control tokens by number."""
        controls = {str(self._source.token(i)): i for i in self._source.control_ids}
        parts = re.split("|".join(f"({re.escape(one)})" for one in sorted(controls, key=len, reverse=True)), text)
        known = [part for part in parts if part]
        return " ".join(f"<[{controls[part]}]>" if part in controls else json.dumps(part) for part in known)

    def _made(self, grammar: str, *, patient: bool = False) -> "Grammar":
        from llguidance import LLMatcher, LLParserLimits

        limits = None
        if patient:
            limits = LLParserLimits(step_max_items=_ITEMS, max_items_in_row=_ROW, step_lexer_fuel=_FUEL)
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=limits)
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
        return Following(self.matcher(), self._vocab_size, self._stops)

    def matcher(self) -> Any:
        """llguidance's, at the beginning; each has its own."""
        return self._matcher.deep_copy()


class GrowingGrammar(Grammar):
    """A form that depends on names which an answer gives: see `Grammars.growing`."""

    def __init__(
        self,
        whole: Grammar,
        made: Callable[[tuple[str, ...]], Grammar],
        named: Callable[[str], Sequence[str]],
        tokenizer: Any,
    ) -> None:
        super().__init__(whole._matcher, whole._vocab_size, whole._stops)
        self._named, self._tokenizer = named, tokenizer
        self._made = lru_cache(_KEPT_GRAMMARS)(made)

    def follow(self) -> "Following":
        """The beginning of an answer."""
        return _GrowingFollowing(self)

    def names(self, tokens: Sequence[int]) -> tuple[str, ...]:
        """The names that an answer has given so far."""
        return tuple(self._named(self._tokenizer.decode_bytes(list(tokens)).decode(errors="replace")))

    def behind(self, tokens: Sequence[int], names: tuple[str, ...]) -> Any:
        """llguidance's matcher behind an answer that has given names."""
        matcher = self._made(tuple(sorted(names))).matcher()  # in whatever order they were given
        matcher.consume_tokens(list(tokens))
        return matcher


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


class _GrowingFollowing(Following):
    def __init__(self, grammar: GrowingGrammar) -> None:
        super().__init__(grammar.matcher(), grammar._vocab_size, grammar._stops)
        self._grammar, self._tokens, self._names = grammar, list[int](), tuple[str, ...]()

    def take(self, token: int) -> None:
        super().take(token)
        self._tokens.append(token)
        names = self._grammar.names(self._tokens)
        if names != self._names and token not in self._stops:
            self._names, self._matcher = names, self._grammar.behind(self._tokens, names)
