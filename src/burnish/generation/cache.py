"""Keys and values of a forest of prompts, and of the tokens generated after them.

A prompt segment is stored once and read by every sample below it: a system prompt that 128 sequences share is
one matrix in one product, and so is a question that 8 samples share.

Notable choices:
- rows lie in the order of the segments they go on from, so the rows below a segment are neighbours and its queries a
  slice;
- segments that are read alike are stacked, one batched product for all (`burnish.generation.stacks`);
- a row's scores over all of its parts lie side by side in one matrix, so there is one softmax and nothing to merge;
- generated tokens go into blocks, each as large as all before it: no key is ever copied because sequences grow.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.generation.sources import SourceCache
from burnish.generation.stacks import Layers, Stack, attention, stack_segments, unused_columns
from burnish.nn.attention import Attend, backend_for
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
    ) -> None:
        """rows: for each row, the segment of `prompts` that it goes on from, ascending.

        first_block: generated tokens a row that there is room for at first; fewer blocks are faster to read.
        sources: what the cross-attention of an encoder-decoder's decoder reads, for the same prompts and rows.

        Raises ValueError for rows in another order, and for a model that is not causal.
        """
        if list(rows) != sorted(rows):
            raise ValueError("rows must be in the order of the segments they go on from")
        if not decoder.config.causal:
            raise ValueError("a bidirectional model cannot generate: what it computed of a token changes with the next")
        self._decoder, self._first_block, self._sources = decoder, first_block or _BLOCK, sources
        self._rules = [decoder.config.attention_rule(layer) for layer in range(decoder.config.n_layers)]
        over_forest = backend_for(decoder.device)
        stored: Layers = []

        def store_and_attend(layer: int) -> Attend:
            rule = self._rules[layer]

            def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
                stored.append((k.to(decoder.compute_dtype), v.to(decoder.compute_dtype)))
                return over_forest(q, k, v, prompts, rule)

            return attend

        across = None if sources is None else sources.of_prompts
        hidden = decoder.hidden(prompts.tokens, prompts.positions, store_and_attend, across)
        if sources is not None:
            sources.prompts_done()
        ends = torch.tensor([prompts.offsets[segment + 1] - 1 for segment in rows], device=decoder.device)
        self.last_hidden = hidden[ends]
        """`[rows, d_model]`: what predicts each row's first new token."""
        self._positions = prompts.positions[ends] + 1
        self._starts = self._positions
        self._longest = int(self._positions.max())
        self._prompts = stack_segments(prompts, rows, stored)
        self._own: list[Stack] = []
        self._biases: dict[int | None, Tensor | None] = {}
        self._prompt_columns = max(stack.columns.stop for stack in self._prompts)
        self._arrange()

    @property
    def n_bytes(self) -> int:
        """Bytes that the keys and values take, room for tokens to come included."""
        return sum(tensor.nbytes for stack in self._stacks for layer in stack.layers for tensor in layer)

    @property
    def _stacks(self) -> list[Stack]:
        return [*self._prompts, *self._own]

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token a row, `[rows]` int64, and return its hidden states `[rows, d_model]`."""
        if not self._own or self._own[-1].length == self._own[-1].capacity:
            self._grow()
        self._own[-1].length += 1
        self._biases = {window: bias for window, bias in self._biases.items() if window is None}
        across = None if self._sources is None else self._sources.of_rows
        hidden = self._decoder.hidden(tokens, self._positions, self._attend, across)
        self._positions = self._positions + 1
        self._longest += 1
        return hidden

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (ascending, `[kept]`) and every segment that no row needs any more."""
        self._positions, self._starts = self._positions[rows], self._starts[rows]
        self._longest = int(self._positions.max())
        self._prompts = [kept for stack in self._prompts for kept in stack.keep(rows)]
        self._own = [kept for stack in self._own for kept in stack.keep(rows)]
        if self._sources is not None:
            self._sources.keep(rows)
        self._arrange()

    def _grow(self) -> None:
        """Make room for further tokens a row: as many as there are."""
        config, n_rows = self._decoder.config, len(self._positions)
        so_far = sum(stack.length for stack in self._own)
        shape = (config.n_kv_heads * n_rows, so_far or self._first_block, config.head_dim)
        dtype, device = self._decoder.compute_dtype, self._positions.device

        def room() -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        layers = [(room(), room()) for _ in range(config.n_layers)]
        column = self._own[-1].columns.stop if self._own else self._prompt_columns
        lengths = torch.full((n_rows,), shape[1], device=device)
        self._own.append(Stack(layers, n_rows, 0, 0, 1, column, lengths, self._starts + so_far))

    def _arrange(self) -> None:
        """Find which columns of the score matrix no segment of a row fills, after the rows changed."""
        self._unused = unused_columns(self._prompts, self._prompt_columns, len(self._positions))
        self._biases = {}

    def _bias(self, window: int | None) -> Tensor | None:
        """`[rows, columns]`, -inf where a row must not look: a column that it does not use, or beyond the window."""
        if window not in self._biases:
            hidden = self._unused
            if window is not None and window <= self._longest:
                n_columns = self._own[-1].columns.stop
                hidden = torch.zeros(len(self._positions), n_columns, dtype=torch.bool, device=self._positions.device)
                if self._unused is not None:
                    hidden[:, : self._prompt_columns] = self._unused
                for stack in self._stacks:
                    keys = stack.starts[:, None] + torch.arange(stack.length, device=hidden.device)
                    distance = self._positions[stack.rows, None] - keys.repeat_interleave(stack.width, 0)
                    hidden[stack.rows, stack.columns] |= distance >= window
            bias = None
            if hidden is not None:
                bias = torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, -torch.inf)
            self._biases[window] = bias
        return self._biases[window]

    def _attend(self, layer: int) -> Attend:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self._own[-1].write(layer, k, v)
            rule = self._rules[layer]
            bias = self._bias(rule.window)
            return attention(q, self._stacks, layer, rule, bias=bias, dense=self._unused is None)

        return attend
