"""Reward models: answers that people prefer get the larger scalar (Bradley & Terry 1952; Plackett 1975).

Notable choices:
- all pairs of a ranked list are one element of the mean, as in InstructGPT: a long list counts as much as a pair;
- a list is stored once, so its prompt and each of its answers are computed once whatever the number of pairs;
- both losses depend on differences of rewards only; `center_rewards_coefficient` decides where their middle is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.objectives.objective import Largest, Mean, Measured, Metric, Number, Smallest

LIST_SIZES = Column("list_sizes", "list")
"""Answers of each ranked list."""
MARGINS = Column("margins", "list")
"""By how much the rewards of a list should differ at least."""

RewardLoss = Literal["bradley_terry", "plackett_luce"]


def bradley_terry(better: Tensor, worse: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """`-log σ(r_φ(x, y_w) - r_φ(x, y_l) - m)` of each pair, in nats: equation 1 of Ouyang 2022 (arXiv:2203.02155).

    better, worse: r_φ of the preferred and of the other answer, of one shape, which the result has too. margin: by how
    much the rewards should differ at least, m(r) of equation 2 of Touvron 2023 (Llama 2, arXiv:2307.09288).
    """
    return -F.logsigmoid(better - worse - margin)


def plackett_luce(rewards: Tensor) -> Tensor:
    """`-log p` of a ranking, in nats: `[..., K]` rewards, those of the best answers first -> `[...]`.

    `p = Π_k exp(r_k) / Σ_{j ≥ k} exp(r_j)`: the best of what is left is drawn first (Plackett 1975; Rafailov 2023,
    arXiv:2305.18290, appendix A.3). With two answers it is `bradley_terry`.
    """
    of_what_is_left = rewards.flip(-1).logcumsumexp(-1).flip(-1)
    return (of_what_is_left - rewards)[..., :-1].sum(-1)


def off_centre(better: Tensor, worse: Tensor) -> Tensor:
    """`(r_φ(x, y_w) + r_φ(x, y_l))²` of each pair, as a loss term that centres rewards on zero.

    Equation 2 of Eisenstein 2023 (arXiv:2312.09244); TRL calls its weight `center_rewards_coefficient` too.
    """
    return (better + worse).square()


@dataclass(frozen=True)
class RewardModelling:
    """The objective over batches of `ranked_batches`; the outputs are the scalars of the scored tokens.

    loss_type: `bradley_terry` is the mean over all pairs of a list, `plackett_luce` the whole ranking.
    center_rewards_coefficient: weight of `off_centre`, averaged over the pairs of a list.

    The metrics have TRL's names; `accuracy` is the share of pairs in the right order.
    """

    loss_type: RewardLoss = "bradley_terry"
    center_rewards_coefficient: float = 0.0
    reads: ClassVar[tuple[Column, ...]] = (LIST_SIZES, MARGINS)

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        return (len(batch.column(LIST_SIZES)),)

    def __call__(self, scalars: Tensor, batch: Batch) -> Measured:
        losses: list[Tensor] = []
        sums = dict.fromkeys(("accuracy", "margin", "mean_reward"), scalars.new_zeros(()))
        for rewards, margins in ranked_lists(scalars[batch.entries], batch):
            better, worse = all_pairs(rewards)
            if self.loss_type == "bradley_terry":
                losses.append(bradley_terry(better, worse, margins[:, None]).mean(1).sum())
            else:
                losses.append(plackett_luce(rewards).sum())
            if self.center_rewards_coefficient:
                losses.append(self.center_rewards_coefficient * off_centre(better, worse).mean(1).sum())
            with torch.no_grad():
                sums["accuracy"] = sums["accuracy"] + (better > worse).float().mean(1).sum()
                sums["margin"] = sums["margin"] + (better - worse).mean(1).sum()
                sums["mean_reward"] = sums["mean_reward"] + rewards.mean(1).sum()
        metrics: dict[str, Metric] = {name: Mean(value, *self.counts(batch)) for name, value in sums.items()}
        metrics |= {"min_reward": Smallest(scalars.min()), "max_reward": Largest(scalars.max())}
        return (torch.stack(losses).sum(),), metrics


def ranked_lists(rewards: Tensor, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """Lists of equal length together: their rewards `[lists, K]`, best answer first, and their margins `[lists]`.

    rewards: `[n_rows]`, of the batch's rows.
    """
    sizes = batch.column(LIST_SIZES)
    starts = sizes.cumsum(0) - sizes
    for size in sizes.unique().tolist():
        chosen = sizes == size
        rows = starts[chosen, None] + torch.arange(size, device=rewards.device)
        yield rewards[rows], batch.column(MARGINS)[chosen]


def all_pairs(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """`[lists, K]` -> the rewards of the better and of the worse answer of every pair, `[lists, K (K - 1) / 2]`."""
    size = rewards.shape[1]
    better, worse = torch.triu_indices(size, size, 1, device=rewards.device)
    return rewards[:, better], rewards[:, worse]
