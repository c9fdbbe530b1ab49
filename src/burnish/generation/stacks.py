"""Segments of a forest whose keys and values are read in one batched product.

- Segments of similar length with equally many rows below them are stacked; what the rows have generated is one more
  stack, of one segment a row.
- All rows below a segment, and all query heads that share a K/V head, read the same keys: they are one long query.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.config import AttentionRule

Layers = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer."""

_SMALL = 2**17
"""Numbers of a stack up to which converting them to float32 costs less than a bfloat16 product."""
_PADDING_BYTES = 2**20
"""Keys and values of padding, a layer, that a stack may hold: reading them costs about as much as one more stack."""


@dataclass(eq=False)
class Stack:
    """Neighbouring segments that are read in one batched product, padded to the longest of them.

    layers: keys and values `[n_kv_heads · segments, capacity, head_dim]`, of which `length` tokens are filled. The keys
        of prompts lie in memory with the tokens last, as the product with queries reads them fastest.
    n_segments: K/V heads come first, so head h of segment i is entry `h · n_segments + i`.
    first_row, width: segment i is read by the `width` rows from `first_row + i · width` on.
    column: where this stack's scores begin in a row of the score matrix.
    lengths, starts: tokens of each segment and the position of its first.
    """

    layers: Layers
    n_segments: int
    length: int
    first_row: int
    width: int
    column: int
    lengths: Tensor
    starts: Tensor

    @property
    def rows(self) -> slice:
        return slice(self.first_row, self.first_row + self.n_segments * self.width)

    @property
    def columns(self) -> slice:
        return slice(self.column, self.column + self.length)

    @property
    def capacity(self) -> int:
        return self.layers[0][0].shape[1]

    def write(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Put k and v `[rows, n_kv_heads, head_dim]` in the last place, in a stack of one segment a row."""
        for block, new in zip(self.layers[layer], (k, v), strict=True):
            by_head = block.view(-1, self.n_segments, *block.shape[1:])
            by_head.select(2, self.length - 1).copy_(new.transpose(0, 1))

    def scores(self, layer: int, q: Tensor) -> Tensor:
        """`[n_kv_heads, rows below, group, length]` from q `[n_kv_heads, rows, group, head_dim]`, unmasked."""
        keys = _readable(self.layers[layer][0][:, : self.length]).transpose(1, 2)
        mine = q if self.is_whole(q) else q[:, self.rows]
        return _product(self._by_segment(mine), keys).view(*mine.shape[:3], -1)

    def read(self, out: Tensor, layer: int, probabilities: Tensor) -> None:
        """Add the values that this stack's columns of `probabilities` weigh to `out`."""
        values = _readable(self.layers[layer][1][:, : self.length])
        if self.is_whole(out) and values.dtype == out.dtype:
            self._by_segment(out).baddbmm_(self._by_segment(probabilities)[:, :, self.columns], values)
            return
        mine = out[:, self.rows]
        mine.add_(_product(self._by_segment(probabilities[:, self.rows, :, self.columns]), values).view(mine.shape))

    def keep(self, kept_rows: Tensor) -> "list[Stack]":
        """The stacks that serve the rows that stay (ascending), numbered anew; segments without rows are gone."""
        below = (kept_rows >= self.rows.start) & (kept_rows < self.rows.stop)
        segments, widths = torch.unique_consecutive(
            (kept_rows[below] - self.first_row) // self.width, return_counts=True
        )
        if len(segments) == 0:
            return []
        row = int(below.nonzero()[0])
        layers = [tuple(x.unflatten(0, (-1, self.n_segments)) for x in layer) for layer in self.layers]
        if len(segments) < self.n_segments:
            layers = [(keys[:, segments], values[:, segments]) for keys, values in layers]
        lengths, starts = self.lengths[segments], self.starts[segments]
        stacks = []
        for begin, end in pairwise(_run_starts(widths.tolist())):
            part, width = slice(begin, end), int(widths[begin])
            # A run of equal width stays one product; flattening copies only where there are several runs.
            runs = [(keys[:, part].flatten(0, 1), values[:, part].flatten(0, 1)) for keys, values in layers]
            stacks.append(Stack(runs, end - begin, self.length, row, width, self.column, lengths[part], starts[part]))
            row += width * (end - begin)
        return stacks

    def below(self, n_rows: int) -> "Stack":
        """The same behind so many further rows."""
        return replace(self, first_row=self.first_row + n_rows)

    def is_whole(self, x: Tensor) -> bool:
        """Whether all rows of `x` `[n_kv_heads, rows, ...]` are below this stack."""
        return self.first_row == 0 and self.n_segments * self.width == x.shape[1]

    def _by_segment(self, x: Tensor) -> Tensor:
        """`[n_kv_heads, segments · width, group, n]` -> `[n_kv_heads · segments, width · group, n]`."""
        return x.reshape(x.shape[0] * self.n_segments, self.width * x.shape[2], x.shape[3])


def joined_rows(generated: Sequence[Sequence[Stack]], n_rows: Sequence[int], column: int, positions: Tensor) -> Stack:
    """One stack, of one segment a row, of what several groups of `n_rows` rows have each in several such stacks.

    positions: `[rows]`, where each row's next token will stand.
    """
    device = positions.device
    some = next(stack for stacks in generated for stack in stacks)
    used = [
        torch.cat([torch.arange(stack.length, device=device) < stack.lengths[:, None] for stack in stacks], 1)
        if stacks
        else torch.zeros(rows, 0, dtype=torch.bool, device=device)
        for stacks, rows in zip(generated, n_rows, strict=True)
    ]
    lengths = torch.cat([each.sum(1) for each in used])
    longest = int(lengths.max())
    # For each row the columns that it uses come first, in order.
    places = [each.long().argsort(dim=1, descending=True, stable=True)[:, :longest] for each in used]
    n_kv_heads = some.layers[0][0].shape[0] // some.n_segments

    def joined(layer: int, part: int) -> Tensor:
        like = some.layers[layer][part]
        new = like.new_zeros(n_kv_heads, len(positions), longest, like.shape[2])
        row = 0
        for stacks, place in zip(generated, places, strict=True):
            rows = torch.arange(len(place), device=device)[:, None]
            if stacks:
                old = [
                    stack.layers[layer][part].unflatten(0, (n_kv_heads, -1))[:, :, : stack.length] for stack in stacks
                ]
                new[:, row : row + len(place), : place.shape[1]] = torch.cat(old, 2)[:, rows, place]
            row += len(place)
        return new.flatten(0, 1)

    layers = [(joined(layer, 0), joined(layer, 1)) for layer in range(len(some.layers))]
    return Stack(layers, len(positions), longest, 0, 1, column, lengths, positions - lengths)


def unused_columns(stacks: Sequence[Stack], n_columns: int, n_rows: int) -> Tensor | None:
    """`[n_rows, n_columns]`, True where no segment of the stacks fills a row's column; None where all are filled."""
    device = stacks[0].lengths.device
    unused = torch.ones(n_rows, n_columns, dtype=torch.bool, device=device)
    for stack in stacks:
        beyond = torch.arange(stack.length, device=device) >= stack.lengths[:, None]
        unused[stack.rows, stack.columns] = beyond.repeat_interleave(stack.width, 0)
    return unused if bool(unused.any()) else None


def attention(
    q: Tensor, stacks: Sequence[Stack], layer: int, rule: AttentionRule, *, bias: Tensor | None, dense: bool
) -> Tensor:
    """`[rows, n_heads, head_dim]` -> the same: attention of each row to what the stacks hold for it.

    bias: `[rows, columns]`, -inf where a row must not look; the columns beyond it are all seen. dense: every row has a
    segment in every stack, so that each column of the score matrix is written.
    """
    n_kv_heads = stacks[0].layers[layer][0].shape[0] // stacks[0].n_segments
    q = q.float()
    n_rows, n_heads, head_dim = q.shape
    scale = head_dim**-0.5 if rule.scale is None else rule.scale
    by_head = q.new_empty(n_kv_heads, n_rows, n_heads // n_kv_heads, head_dim)
    torch.mul(q.view(n_rows, n_kv_heads, -1, head_dim).transpose(0, 1), scale, out=by_head)
    if dense and all(stack.is_whole(by_head) for stack in stacks):
        scores = torch.cat([stack.scores(layer, by_head) for stack in stacks], -1)
    else:
        # Zeros, as a row does not write the columns it does not use, and what is hidden must still be a number.
        scores = by_head.new_zeros(*by_head.shape[:3], max(stack.columns.stop for stack in stacks))
        for stack in stacks:
            # Copied, since a batched product with an output that has gaps runs one matrix at a time.
            scores[:, stack.rows, :, stack.columns] = stack.scores(layer, by_head)
    if rule.softcap is not None:
        scores = scores.div_(rule.softcap).tanh_().mul_(rule.softcap)
    if bias is not None:
        scores[..., : bias.shape[1]].add_(bias[:, None])
    probabilities = torch.softmax(scores, -1)
    out = torch.zeros_like(by_head)
    for stack in stacks:
        stack.read(out, layer, probabilities)
    return out.transpose(0, 1).reshape(q.shape)


def _readable(stored: Tensor) -> Tensor:
    """Keys or values as they are read: float32 where that is quick to make.

    A bfloat16 product of a few rows costs more to set up than to compute.
    """
    return stored.float() if stored.numel() <= _SMALL else stored


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The batched product of float32 `a` with `b`, in the format of b; float32."""
    return torch.bmm(a.to(b.dtype), b).to(a.dtype)


def stack_segments(prompts: Forest, rows: Sequence[int], stored: Layers) -> list[Stack]:
    """The segments that rows need, neighbours of one depth and similar length and equally many rows in one stack."""
    first_row, n_rows = [0] * prompts.n_segments, [0] * prompts.n_segments
    for row in range(len(rows) - 1, -1, -1):
        for segment in (*prompts.ancestors(rows[row]), rows[row]):
            first_row[segment], n_rows[segment] = row, n_rows[segment] + 1
    by_depth: dict[int, list[int]] = {}
    for segment in range(prompts.n_segments):
        if n_rows[segment]:
            by_depth.setdefault(len(prompts.ancestors(segment)), []).append(segment)
    stacks, column = [], 0
    allowed_padding = _PADDING_BYTES // sum(x[0].nbytes for x in stored[0])
    for segments in by_depth.values():
        segments.sort(key=lambda segment: first_row[segment])
        groups: list[list[int]] = []
        for segment in segments:
            neighbours = bool(groups) and (
                n_rows[segment] == n_rows[groups[-1][-1]]
                and first_row[segment] == first_row[groups[-1][-1]] + n_rows[groups[-1][-1]]
            )
            if neighbours and _padding([prompts.lengths[s] for s in (*groups[-1], segment)]) <= allowed_padding:
                groups[-1].append(segment)
            else:
                groups.append([segment])
        stacks += [_stack(prompts, group, stored, first_row[group[0]], n_rows[group[0]], column) for group in groups]
        # The depths of a row lie side by side; rows that have no segment of a depth leave its columns unused.
        column += max(prompts.lengths[segment] for segment in segments)
    return stacks


def _padding(lengths: list[int]) -> int:
    return max(lengths) * len(lengths) - sum(lengths)


def _stack(prompts: Forest, group: list[int], stored: Layers, first_row: int, width: int, column: int) -> Stack:
    lengths = [prompts.lengths[segment] for segment in group]

    def padded(flat: Tensor) -> Tensor:
        stack = flat.new_zeros(flat.shape[1], len(group), max(lengths), flat.shape[2])
        for i, (segment, length) in enumerate(zip(group, lengths, strict=True)):
            start = prompts.offsets[segment]
            stack[:, i, :length] = flat[start : start + length].transpose(0, 1)
        return stack.flatten(0, 1)

    layers = [(padded(keys).mT.contiguous().mT, padded(values)) for keys, values in stored]
    device = layers[0][0].device
    starts = torch.tensor([prompts.first_positions[segment] for segment in group], device=device)
    return Stack(
        layers, len(group), max(lengths), first_row, width, column, torch.tensor(lengths, device=device), starts
    )


def _run_starts(values: list[int]) -> list[int]:
    """Where each run of equal values begins, and the end."""
    return [0, *(i for i in range(1, len(values)) if values[i] != values[i - 1]), len(values)]
