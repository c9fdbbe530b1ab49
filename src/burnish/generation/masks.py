"""Which columns of the score matrix a row must not look at, beside those that no segment of it fills."""

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.generation.stacks import Stack


def beyond_window(
    stacks: Sequence[Stack], unused: Tensor | None, settled_columns: int, positions: Tensor, window: int
) -> Tensor:
    """`[rows, columns]` bool: what stands `window` or more before a row's next token, or is none of its columns.

    unused: `[rows, settled_columns]`, columns that no segment of a row fills. positions: `[rows]` of the next tokens.
    """
    hidden = torch.zeros(len(positions), stacks[-1].columns.stop, dtype=torch.bool, device=positions.device)
    if unused is not None:
        hidden[:, :settled_columns] = unused
    for stack in stacks:
        keys = stack.starts[:, None] + torch.arange(stack.length, device=hidden.device)
        distance = positions[stack.rows, None] - keys.repeat_interleave(stack.width, 0)
        hidden[stack.rows, stack.columns] |= distance >= window
    return hidden


def as_bias(hidden: Tensor) -> Tensor:
    """What is added to scores: -inf where hidden."""
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, -torch.inf)
