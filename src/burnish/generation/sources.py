"""Keys and values of the sources that an encoder-decoder writes from: made once, read at every step.

A source is encoded once and stored once, however many rows are written from it; sources of similar length are read in
one product, as prompts are (`burnish.generation.stacks`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.generation.stacks import attention, stack_segments, unused_columns
from burnish.nn.attention import AttendAcross, cross_attention
from burnish.nn.encoder_decoder import EncoderDecoder


class SourceCache:
    """What the cross-attention of a wave of rows reads.

    Bytes a source token: `2 · n_layers · n_cross_kv_heads · head_dim` numbers of the compute dtype.
    """

    def __init__(self, model: EncoderDecoder, sources: Forest, prompts: Forest, rows: Sequence[int]) -> None:
        """Run the encoder.

        sources: one segment a tree. prompts: what the decoder begins with, the i-th tree for the i-th source. rows: for
        each row, the segment of `prompts` that it goes on from, ascending.
        """
        if sources.n_segments != len(sources.roots):
            raise ValueError("sources must have one segment each")
        config = model.config.decoder
        self._rules = [config.attention_rule(layer) for layer in range(config.n_layers)]
        self._sources, self._prompts = sources, prompts
        self._whole = model.keys_and_values(model.encoder(sources))
        stored = [(k.to(model.compute_dtype), v.to(model.compute_dtype)) for k, v in self._whole]
        trees = {root: tree for tree, root in enumerate(prompts.roots)}
        of_rows = [trees[[*prompts.ancestors(segment), segment][0]] for segment in rows]
        self._stacks = stack_segments(sources, of_rows, stored)
        self._arrange(len(rows))

    @property
    def n_bytes(self) -> int:
        """Bytes that the keys and values take, padding included."""
        return sum(tensor.nbytes for stack in self._stacks for layer in stack.layers for tensor in layer)

    def of_prompts(self, layer: int) -> AttendAcross:
        """The layer's attention of the prompts' tokens to their sources."""
        (k, v), rule = self._whole[layer], self._rules[layer]
        return lambda q: cross_attention(q, k, v, self._prompts, self._sources, rule)

    def prompts_done(self) -> None:
        """Free what only `of_prompts` reads."""
        self._whole = []

    def of_rows(self, layer: int) -> AttendAcross:
        """The layer's attention of one token a row to the row's source."""
        rule = self._rules[layer]
        return lambda q: attention(q, self._stacks, layer, rule, bias=self._bias, dense=self._bias is None)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (ascending, `[kept]`) and every source that no row needs any more."""
        self._stacks = [kept for stack in self._stacks for kept in stack.keep(rows)]
        self._arrange(len(rows))

    def join(self, other: "SourceCache", n_rows: int) -> None:
        """Take the sources of another cache's rows, which come behind the own `n_rows`."""
        self._stacks += [stack.below(n_rows) for stack in other._stacks]
        self._arrange(n_rows + other._n_rows)

    def _arrange(self, n_rows: int) -> None:
        self._n_rows = n_rows
        n_columns = max(stack.columns.stop for stack in self._stacks)
        unused = unused_columns(self._stacks, n_columns, n_rows)
        self._bias: Tensor | None = None
        if unused is not None:
            self._bias = torch.zeros(unused.shape, device=unused.device).masked_fill_(unused, -torch.inf)
