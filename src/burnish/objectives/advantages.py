"""Advantages of actions in ragged rows that are stored flat: generalized advantage estimation, and whitening.

Notable choices:
- an answer is an episode: the state after its last token has the value 0, whether the model ended it or a limit did;
- the recursion runs over the places of the longest row, for all rows at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Advantages(NamedTuple):
    """Of each action its advantage, and the return that the critic is to predict; `[n_entries]`."""

    advantages: Tensor
    returns: Tensor


def generalized_advantages(rewards: Tensor, values: Tensor, rows: Tensor, *, gamma: float, lam: float) -> Advantages:
    """GAE(γ, λ) (Schulman 2016, arXiv:1506.02438, eq. 16): `A_t = Σ_k (γλ)^k δ_{t+k}`, and the returns `A_t + V_t`.

        δ_t = r_t + γ V_{t+1} - V_t        (eq. 10)

    rewards, values: float `[n_entries]`, the reward for an action and V(s) of the state before it; row by row, in
    order. rows: int64 `[n_entries]`, the row of each entry, never decreasing. λ = 1 gives the discounted sum of the
    rewards minus the value, λ = 0 the temporal difference alone. Gradients are not kept.
    """
    rewards, values = rewards.detach(), values.detach()
    if not len(rows):
        return Advantages(rewards, values)
    _, numbers, lengths = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
    places = torch.arange(len(rows), device=rows.device) - (lengths.cumsum(0) - lengths)[numbers]
    longest = int(lengths.max())
    # Past the end of a row rewards and values are zero, and so is all that flows back from there.
    padded_rewards = rewards.new_zeros(longest + 1, len(lengths)).index_put((places, numbers), rewards)
    padded_values = values.new_zeros(longest + 1, len(lengths)).index_put((places, numbers), values)
    deltas = padded_rewards[:-1] + gamma * padded_values[1:] - padded_values[:-1]
    running = torch.zeros_like(deltas[0])
    for place in range(longest - 1, -1, -1):
        running = deltas[place] + gamma * lam * running
        deltas[place] = running
    advantages = deltas[places, numbers]
    return Advantages(advantages, advantages + values)


def whitened(values: Tensor, *, shift_mean: bool = True, eps: float = 1e-8) -> Tensor:
    """`(x - mean) / sqrt(var + eps)`, the variance with Bessel's correction; as TRL's `masked_whiten` over a mask.

    values: `[n]`. shift_mean: whether the mean goes too; else it is added again, so that only the scale changes.
    A single value has no variance: it is returned centred and unscaled.
    """
    mean = values.mean()
    centred = values - mean
    if len(values) > 1:
        centred = centred * torch.rsqrt(values.var() + eps)
    return centred if shift_mean else centred + mean
