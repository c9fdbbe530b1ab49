"""Keys and values of a forest of prompts, and of the tokens generated after them.

A prompt segment is stored once and read by every sample below it: a system prompt that 128 sequences share is
one matrix in one product, and so is a question that 8 samples share. Segments of similar length and number of
samples are stacked into one call; the generated tokens of all rows have one length and need no mask at all. The
parts are merged by their log-sum-exp, as in training (`burnish.nn.attention.cpu`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.attention import Attend, backend_for
from burnish.nn.attention.parts import attention_part, merge
from burnish.nn.decoder import Decoder

_BLOCK = 32
"""Generated tokens that a row's storage grows by."""

_Layers = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer."""


class _Stack:
    """Prompt segments that are read in one call, padded to the longest of them."""

    def __init__(self, layers: _Layers, lengths: list[int], rows: list[list[int]], n_rows: int) -> None:
        """layers: keys and values `[segments, n_kv_heads, length, head_dim]`; rows: those below each segment."""
        self.layers, self.lengths, self.rows = layers, lengths, rows
        keys = layers[0][0]
        device, width = keys.device, max(len(below) for below in rows)
        flat = [row for below in rows for row in below]
        # Every row in its order and as many for each segment: queries are a view, results need no scatter.
        self._whole = flat == list(range(n_rows)) and width * len(rows) == n_rows
        self._queries = torch.tensor([below + below[:1] * (width - len(below)) for below in rows], device=device)
        self._places = torch.tensor(
            [i * width + j for i, below in enumerate(rows) for j in range(len(below))], device=device
        )
        self._members = torch.tensor(flat, device=device)
        self._bias: Tensor | None = None
        if min(lengths) < keys.shape[2]:
            beyond = torch.arange(keys.shape[2], device=device) >= torch.tensor(lengths, device=device)[:, None]
            self._bias = torch.zeros(beyond.shape, device=device).masked_fill_(beyond, -torch.inf)[:, None, None]

    def merge_into(self, out: Tensor, lse: Tensor, layer: int, q: Tensor) -> None:
        """Merge this part into `out` and `lse` `[rows, n_heads]`; out and q are `[rows, n_heads, head_dim]`."""
        keys, values = self.layers[layer]
        segments, n_kv_heads = keys.shape[:2]
        gathered = q if self._whole else q[self._queries.flatten()]
        width, group = len(gathered) // segments, q.shape[1] // n_kv_heads
        # All rows of a segment and all query heads of a K/V head read the same keys: they become one long query.
        by_head = gathered.view(segments, width, n_kv_heads, group, -1).transpose(1, 2).flatten(2, 3)
        part_out, part_lse = attention_part(by_head, keys, values, bias=self._bias)
        part_out = part_out.unflatten(2, (width, group)).transpose(1, 2).reshape(gathered.shape)
        part_lse = part_lse.unflatten(2, (width, group)).transpose(1, 2).reshape(gathered.shape[:2])
        if self._whole:
            merge(out, lse, part_out, part_lse)
            return
        at_out, at_lse = out[self._members], lse[self._members]
        merge(at_out, at_lse, part_out[self._places], part_lse[self._places])
        out[self._members], lse[self._members] = at_out, at_lse

    def keep(self, new_rows: dict[int, int]) -> "_Stack | None":
        """The stack after the rows got new numbers and all others left; None where no row needs it any more."""
        left = [[new_rows[row] for row in below if row in new_rows] for below in self.rows]
        segments = [i for i, below in enumerate(left) if below]
        if not segments:
            return None
        layers = self.layers
        if len(segments) < len(left):
            index = torch.tensor(segments, device=layers[0][0].device)
            layers = [(keys[index], values[index]) for keys, values in layers]
        return _Stack(layers, [self.lengths[i] for i in segments], [left[i] for i in segments], len(new_rows))


class KVCache:
    """The cache of one wave of rows: built by running the prompts, then grown by `step`.

    Bytes a token: `2 · n_layers · n_kv_heads · head_dim` numbers of the compute dtype.
    """

    def __init__(self, decoder: Decoder, prompts: Forest, rows: Sequence[int]) -> None:
        """rows: for each row, the segment of `prompts` that it goes on from."""
        self._decoder = decoder
        attention = backend_for(decoder.device)
        stored: _Layers = []

        def store_and_attend(_layer: int) -> Attend:
            def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
                stored.append((k.to(decoder.compute_dtype), v.to(decoder.compute_dtype)))
                return attention(q, k, v, prompts)

            return attend

        hidden = decoder.hidden(prompts.tokens, prompts.positions, store_and_attend)
        ends = torch.tensor([prompts.offsets[segment + 1] - 1 for segment in rows], device=decoder.device)
        self.last_hidden = hidden[ends]
        """`[rows, d_model]`: what predicts each row's first new token."""
        self._positions = prompts.positions[ends] + 1
        self._stacks = _stack_segments(prompts, rows, stored)
        self._own: _Layers = []
        self._n_own = 0

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token a row, `[rows]` int64, and return its hidden states `[rows, d_model]`."""
        if self._n_own % _BLOCK == 0:
            self._grow()
        hidden = self._decoder.hidden(tokens, self._positions, self._attend)
        self._n_own += 1
        self._positions = self._positions + 1
        return hidden

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (ascending, `[kept]`) and every segment that no row needs any more."""
        new_rows = {old: new for new, old in enumerate(rows.tolist())}
        self._positions = self._positions[rows]
        self._own = [(keys[rows], values[rows]) for keys, values in self._own]
        self._stacks = [kept for stack in self._stacks if (kept := stack.keep(new_rows)) is not None]

    def _grow(self) -> None:
        """Make room for a block of further tokens a row."""
        config = self._decoder.config

        def block() -> Tensor:
            shape = (len(self._positions), config.n_kv_heads, _BLOCK, config.head_dim)
            return torch.zeros(shape, dtype=self._decoder.compute_dtype, device=self._positions.device)

        if self._own:
            self._own = [(torch.cat([keys, block()], 2), torch.cat([values, block()], 2)) for keys, values in self._own]
        else:
            self._own = [(block(), block()) for _ in range(config.n_layers)]

    def _attend(self, layer: int) -> Attend:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._own[layer]
            keys[:, :, self._n_own], values[:, :, self._n_own] = k, v
            seen = slice(0, self._n_own + 1)
            q = q.to(keys.dtype)
            out, lse = attention_part(q.unflatten(1, (keys.shape[1], -1)), keys[:, :, seen], values[:, :, seen])
            out, lse = out.view(q.shape), lse.view(q.shape[:2])
            for stack in self._stacks:
                stack.merge_into(out, lse, layer, q)
            return out

        return attend


def _stack_segments(prompts: Forest, rows: Sequence[int], stored: _Layers) -> list[_Stack]:
    """Group the segments by depth, length and number of rows (each to a factor of two) and pad within a group.

    Depth is part of the key because a row may meet only one segment of a stack.
    """
    below: list[list[int]] = [[] for _ in range(prompts.n_segments)]
    depths: list[int] = []
    for parent in prompts.parents:
        depths.append(0 if parent == -1 else depths[parent] + 1)
    for row, segment in enumerate(rows):
        while segment != -1:
            below[segment].append(row)
            segment = prompts.parents[segment]
    groups: dict[tuple[int, int, int], list[int]] = {}
    for segment, members in enumerate(below):
        if members:
            key = (depths[segment], prompts.lengths[segment].bit_length(), len(members).bit_length())
            groups.setdefault(key, []).append(segment)
    stacks = []
    for segments in groups.values():
        segments.sort(key=lambda segment: below[segment][0])
        spans = [(prompts.offsets[segment], prompts.lengths[segment]) for segment in segments]
        longest = max(length for _, length in spans)

        def padded(flat: Tensor, spans: list[tuple[int, int]] = spans, longest: int = longest) -> Tensor:
            stack = flat.new_zeros(len(spans), flat.shape[1], longest, flat.shape[2])
            for i, (start, length) in enumerate(spans):
                stack[i, :, :length] = flat[start : start + length].transpose(0, 1)
            return stack

        layers = [(padded(keys), padded(values)) for keys, values in stored]
        stacks.append(_Stack(layers, [length for _, length in spans], [below[s] for s in segments], len(rows)))
    return stacks
