"""Rows of a cache that grow by different numbers of tokens in one step.

Notable choices:
- one stack of one segment a row, each filled to a length of its own: what a row fed and took back is overwritten;
- the network's products see the tokens that there are, without padding; attention alone sees as many queries of each
  row as the one with the most has, so that a segment's queries stay neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burnish.generation.stacks import Stack


@dataclass(frozen=True, eq=False)
class Fed:
    """The tokens of a step, row by row. row, place: of each token `[n]`, the place counted within its row.

    most: the most that a row has.
    """

    row: Tensor
    place: Tensor
    most: int

    @classmethod
    def of(cls, counts: Sequence[int], device: torch.device) -> "Fed":
        """counts: tokens of each row, at least one."""
        each = torch.tensor(counts, device=device)
        row = torch.arange(len(counts), device=device).repeat_interleave(each)
        ends = each.cumsum(0)
        place = torch.arange(int(ends[-1]), device=device) - (ends - each)[row]
        return cls(row, place, max(counts))

    def queries(self, q: Tensor) -> Tensor:
        """`[n, ...]` -> `[rows · most, ...]`, with zeros for the tokens that are not there."""
        padded = q.new_zeros((int(self.row[-1]) + 1) * self.most, *q.shape[1:])
        padded[self.row * self.most + self.place] = q
        return padded

    def answers(self, out: Tensor) -> Tensor:
        """The inverse of `queries`."""
        return out[self.row * self.most + self.place]


def with_room(stack: Stack, tokens: int) -> Stack:
    """The stack with places for at least so many tokens a row, zeros where nothing was written."""
    if stack.capacity >= tokens:
        return stack
    capacity = max(tokens, 2 * stack.capacity)

    def grown(x: Tensor) -> Tensor:
        new = x.new_zeros(x.shape[0], capacity, x.shape[2])
        new[:, : stack.length] = x[:, : stack.length]
        return new

    return replace(stack, layers=[(grown(keys), grown(values)) for keys, values in stack.layers])


def write(stack: Stack, layer: int, k: Tensor, v: Tensor, fed: Fed) -> None:
    """Put k and v `[n, n_kv_heads, head_dim]` behind what each row has."""
    column = stack.lengths[fed.row] + fed.place
    for block, new in zip(stack.layers[layer], (k, v), strict=True):
        by_head = block.view(-1, stack.n_segments, *block.shape[1:])
        by_head[:, fed.row, column] = new.transpose(0, 1).to(block.dtype)


def for_queries(stacks: Sequence[Stack], most: int) -> list[Stack]:
    """The stacks as they are read by `most` neighbouring queries of each row."""
    return [replace(stack, first_row=stack.first_row * most, width=stack.width * most) for stack in stacks]


def hidden_columns(
    stacks: Sequence[Stack], unused: Tensor | None, most: int, positions: Tensor, window: int | None
) -> Tensor:
    """`[rows · most, columns]` bool: what each query must not look at.

    stacks: the last one is that which rows grow in. unused: of the others, as `unused_columns` finds it. positions:
    `[rows]`, of each row's first query.
    """
    n_rows, own = len(positions), stacks[-1]
    device = positions.device
    hidden = torch.zeros(n_rows, most, own.columns.stop, dtype=torch.bool, device=device)
    if unused is not None:
        hidden[:, :, : unused.shape[1]] = unused[:, None]
    seen = own.lengths[:, None] + torch.arange(1, most + 1, device=device)
    hidden[:, :, own.columns] = torch.arange(own.length, device=device) >= seen[:, :, None]
    if window is not None:
        asked = positions[:, None] + torch.arange(most, device=device)
        for stack in stacks:
            keys = (stack.starts[:, None] + torch.arange(stack.length, device=device)).repeat_interleave(stack.width, 0)
            hidden[stack.rows, :, stack.columns] |= asked[stack.rows, :, None] - keys[:, None] >= window
    return hidden.flatten(0, 1)
