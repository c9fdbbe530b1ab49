"""Keys and values of a forest of prompts, and of the tokens generated after them.

A prompt segment is stored once and read by every sample below it: a system prompt that 128 sequences share is
one matrix in one product, and so is a question that 8 samples share.

Notable choices:
- rows lie in the order of the segments they go on from, so the rows below a segment are neighbours and its queries a
  slice;
- rows that join later have a cache of their own beside the others' (`step_together`), until two are joined into one;
- segments that are read alike are stacked, one batched product for all (`burnish.generation.stacks`);
- a row's scores over all of its parts lie side by side in one matrix, so there is one softmax and nothing to merge;
- generated tokens go into blocks, each as large as all before it: no key is ever copied because sequences grow.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.generation.masks import as_bias, beyond_window
from burnish.generation.prefill import Prefilled, prefill
from burnish.generation.ragged import Fed, for_queries, hidden_columns, with_room, write
from burnish.generation.sources import SourceCache
from burnish.generation.stacks import Stack, attention, joined_rows, stack_segments, unused_columns
from burnish.nn.attention import Attend, AttendAcross
from burnish.nn.decoder import Decoder

_BLOCK = 64
"""Tokens a row in the first block of generated ones, unless the caller knows better."""


class KVCache:
    """The cache of one wave of rows: built by running the prompts, then grown by `step`.

    Bytes a token: `2 · n_layers · n_kv_heads · head_dim` numbers of the compute dtype.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: Forest,
        rows: Sequence[int],
        *,
        first_block: int | None = None,
        sources: SourceCache | None = None,
        prefilled: Prefilled | None = None,
    ) -> None:
        """rows: for each row, the segment of `prompts` that it goes on from, ascending.

        first_block: generated tokens a row that there is room for at first; fewer blocks are faster to read.
        sources: what the cross-attention of an encoder-decoder's decoder reads, for the same prompts and rows.
        prefilled: what the pass over `prompts` found, where it has run already.

        Raises ValueError for rows in another order, and for a model that is not causal.
        """
        if list(rows) != sorted(rows):
            raise ValueError("rows must be in the order of the segments they go on from")
        if not decoder.config.causal:
            raise ValueError("a bidirectional model cannot generate: what it computed of a token changes with the next")
        self._decoder, self._first_block, self._sources = decoder, first_block or _BLOCK, sources
        self._rules = [decoder.config.attention_rule(layer) for layer in range(decoder.config.n_layers)]
        across = None if sources is None else sources.of_prompts
        prefilled = prefilled or prefill(decoder, prompts, across=across)
        if sources is not None:
            sources.prompts_done()
        self.last_hidden = prefilled.last_hidden(rows)
        """`[rows, d_model]`: what predicts each row's first new token."""
        ends = torch.tensor([prompts.offsets[segment + 1] - 1 for segment in rows], device=decoder.device)
        self._positions = prompts.positions[ends] + 1
        self._longest = int(self._positions.max())
        self._fixed = stack_segments(prompts, rows, prefilled.layers)
        self._joined: list[Stack] = []
        self._own: list[Stack] = []
        self._biases: dict[int | None, Tensor | None] = {}
        self._settled_columns = max(stack.columns.stop for stack in self._settled)
        self._fed: Fed | None = None
        self._is_ragged = False
        self._arrange()

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def positions(self) -> Tensor:
        """`[rows]` int64: where each row's next token stands."""
        return self._positions

    @property
    def next_positions(self) -> Tensor:
        """`[n]` int64: where the tokens of the step that has begun stand."""
        return self._positions if self._fed is None else self._positions[self._fed.row] + self._fed.place

    @property
    def has_sources(self) -> bool:
        """Whether the rows are written from sources."""
        return self._sources is not None

    @property
    def n_bytes(self) -> int:
        """Bytes that the keys and values take, room for tokens to come included."""
        return sum(tensor.nbytes for stack in self._stacks for layer in stack.layers for tensor in layer)

    @property
    def _stacks(self) -> list[Stack]:
        return [*self._settled, *self._own]

    @property
    def _settled(self) -> list[Stack]:
        """The stacks that no step writes to: prompts, and what rows had generated when they were joined."""
        return [*self._fixed, *self._joined]

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token a row, `[rows]` int64, and return its hidden states `[rows, d_model]`."""
        return step_together(self._decoder, [self], tokens)

    def make_room(self, counts: Sequence[int] | None = None) -> None:
        """Begin a step: have places for so many more tokens of each row, one where None; `accept` says which stay."""
        self._fed = None
        if counts is not None or self._is_ragged:
            self._make_ragged_room([1] * len(self) if counts is None else counts)
            return
        if not self._own or self._own[-1].length == self._own[-1].capacity:
            self._grow()
        self._own[-1].length += 1
        self._biases = {window: bias for window, bias in self._biases.items() if window is None}

    def attend(self, layer: int) -> Attend:
        """A layer's attention of one token a row, whose keys and values are stored on the way."""

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            rule = self._rules[layer]
            if (fed := self._fed) is not None:
                write(self._own[-1], layer, k, v, fed)
                stacks, bias = for_queries(self._stacks, fed.most), self._ragged_bias(rule.window, fed)
                dense = self._unused is None
                return fed.answers(attention(fed.queries(q), stacks, layer, rule, bias=bias, dense=dense))
            self._own[-1].write(layer, k, v)
            return attention(q, self._stacks, layer, rule, bias=self._bias(rule.window), dense=self._unused is None)

        return attend

    def across(self, layer: int) -> AttendAcross:
        """A layer's attention of one token a row to the row's source. Raises ValueError where there is none."""
        if self._sources is None:
            raise ValueError("these rows are not written from sources")
        return self._sources.of_rows(layer)

    def advance(self) -> None:
        """End a step of one token a row."""
        if self._fed is not None:
            self.accept(torch.ones_like(self._positions))
            return
        self._positions = self._positions + 1
        self._longest += 1

    def accept(self, counts: Tensor) -> None:
        """End a step of several tokens: so many `[rows]` of each row stay, from its first; below 0 takes back."""
        (own,) = self._own
        own.lengths = own.lengths + counts
        own.length = int(own.lengths.max())
        self._positions = self._positions + counts
        self._longest = int(self._positions.max())

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (ascending, `[kept]`) and every segment that no row needs any more."""
        self._positions = self._positions[rows]
        self._longest = int(self._positions.max())
        self._fixed = [kept for stack in self._fixed for kept in stack.keep(rows)]
        self._joined = [kept for stack in self._joined for kept in stack.keep(rows)]
        self._own = [kept for stack in self._own for kept in stack.keep(rows)]
        if self._sources is not None:
            self._sources.keep(rows)
        self._arrange()

    def join(self, other: "KVCache") -> None:
        """Take the rows of another cache of the same decoder behind the own ones; the other is used up.

        What the rows of both have generated is copied into one stack, and what comes goes on in one.
        """
        if self._sources is not None and other._sources is not None:
            self._sources.join(other._sources, len(self))
        generated = [[*cache._joined, *cache._own] for cache in (self, other)]
        n_rows = [len(self), len(other)]
        self._fixed += [stack.below(len(self)) for stack in other._fixed]
        self._positions = torch.cat([self._positions, other._positions])
        self._longest = max(self._longest, other._longest)
        self._first_block = max(self._first_block, other._first_block)
        column = max(stack.columns.stop for stack in self._fixed)
        self._joined = [joined_rows(generated, n_rows, column, self._positions)] if any(generated) else []
        self._own, self._is_ragged = [], False
        self._settled_columns = max(stack.columns.stop for stack in self._settled)
        self._arrange()

    def generated(self, row: int, n_tokens: int) -> Tensor:
        """Keys and values of a row's first generated tokens: `[n_layers, 2, n_tokens, n_kv_heads, head_dim]`."""
        n_kv_heads = self._decoder.config.n_kv_heads
        parts, left = [], n_tokens
        for stack in [*self._joined, *self._own]:
            there = min(left, stack.length, int(stack.lengths[row]))
            of_row = [
                torch.stack([x.unflatten(0, (n_kv_heads, -1))[:, row, :there].transpose(0, 1) for x in layer])
                for layer in stack.layers
            ]
            parts.append(torch.stack(of_row))
            left -= there
        if left:
            raise ValueError(f"{n_tokens - left} tokens have been generated, asked for {n_tokens}")
        return torch.cat(parts, 2)

    def _grow(self) -> None:
        """Make room for further tokens a row: as many as there are."""
        config, n_rows = self._decoder.config, len(self)
        so_far = sum(stack.length for stack in self._own)
        shape = (config.n_kv_heads * n_rows, so_far or self._first_block, config.head_dim)
        dtype, device = self._decoder.compute_dtype, self._positions.device

        def room() -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        layers = [(room(), room()) for _ in range(config.n_layers)]
        column = self._own[-1].columns.stop if self._own else self._settled_columns
        lengths = torch.full((n_rows,), shape[1], device=device)
        self._own.append(Stack(layers, n_rows, 0, 0, 1, column, lengths, self._positions))

    def _make_ragged_room(self, counts: Sequence[int]) -> None:
        """Begin a step of so many tokens a row."""
        if not self._is_ragged:
            self._is_ragged = True
            column = max(stack.columns.stop for stack in self._fixed)
            generated = [*self._joined, *self._own]
            if generated:
                stack = joined_rows([generated], [len(self)], column, self._positions)
            else:
                self._settled_columns = column
                self._grow()
                (stack,) = self._own
                stack.lengths = torch.zeros_like(self._positions)
            self._joined, self._own, self._settled_columns = [], [stack], column
            self._arrange()
        (own,) = self._own
        each = torch.tensor(counts, device=self._positions.device)
        longest = int((own.lengths + each).max())
        grown = with_room(own, longest)
        if own.length == 0:
            for layer in grown.layers:
                for block in layer:
                    block.zero_()
        grown.length = longest
        self._own, self._fed = [grown], Fed.of(counts, self._positions.device)
        self._biases = {}

    def _ragged_bias(self, window: int | None, fed: Fed) -> Tensor:
        if window not in self._biases:
            self._biases[window] = as_bias(
                hidden_columns(self._stacks, self._unused, fed.most, self._positions, window)
            )
        bias = self._biases[window]
        assert bias is not None
        return bias

    def _arrange(self) -> None:
        """Find which columns of the score matrix no segment of a row fills, after the rows changed."""
        self._unused = unused_columns(self._settled, self._settled_columns, len(self))
        self._biases = {}

    def _bias(self, window: int | None) -> Tensor | None:
        """`[rows, columns]`, -inf where a row must not look: a column that it does not use, or beyond the window."""
        if window not in self._biases:
            hidden = self._unused
            if window is not None and window <= self._longest:
                hidden = beyond_window(self._stacks, self._unused, self._settled_columns, self._positions, window)
            self._biases[window] = None if hidden is None else as_bias(hidden)
        return self._biases[window]


def step_together(
    decoder: Decoder, caches: Sequence[KVCache], tokens: Tensor, counts: Sequence[Sequence[int] | None] | None = None
) -> Tensor:
    """Append one token to each row of all caches, `[rows]` int64, and return their hidden states `[rows, d_model]`.

    counts: for a cache, how many tokens each of its rows gets, the row's one behind the other in `tokens`; its `accept`
    has to be called then.
    """
    counts = counts or [None] * len(caches)
    for cache, each in zip(caches, counts, strict=True):
        cache.make_room(each)
    of_caches = [cache.next_positions for cache in caches]
    positions = torch.cat(of_caches)
    spans = [slice(start, stop) for start, stop in pairwise(accumulate(map(len, of_caches), initial=0))]

    def split(parts: Sequence[Callable[..., Tensor]]) -> Callable[..., Tensor]:
        if len(parts) == 1:
            return parts[0]
        return lambda *given: torch.cat(
            [part(*(x[span] for x in given)) for part, span in zip(parts, spans, strict=True)]
        )

    across = None
    if caches[0].has_sources:
        across = lambda layer: split([cache.across(layer) for cache in caches])  # noqa: E731
    hidden = decoder.hidden(tokens, positions, lambda layer: split([cache.attend(layer) for cache in caches]), across)
    for cache, each in zip(caches, counts, strict=True):
        if each is None:
            cache.advance()
    return hidden
