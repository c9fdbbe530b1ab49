"""What the objectives over pairs of answers have in common.

The rows of a batch are chosen, rejected, chosen, rejected, ..., as `datasets.batches.preference_batches` makes them.
"""

import torch
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.objectives.objective import Mean, Metric


def chosen_and_rejected(values: Tensor) -> tuple[Tensor, Tensor]:
    """Split `[2 * pairs]`, one value a row, into those of the chosen and of the rejected answers, each `[pairs]`."""
    chosen, rejected = values.view(-1, 2).unbind(1)
    return chosen, rejected


def row_means(token_values: Tensor, batch: Batch) -> Tensor:
    """Mean of `token_values` `[n_entries]` over the tokens of each row's answer: `[n_rows]`."""
    return batch.row_sums(token_values) / batch.row_lengths


def n_pairs(batch: Batch) -> int:
    """Pairs of a batch."""
    return batch.n_rows // 2


def n_chosen_tokens(batch: Batch) -> Tensor:
    """Tokens of the batch's chosen answers, what `chosen_nll` is divided by; a scalar."""
    return batch.row_lengths[::2].sum()


def chosen_nll(token_logps: Tensor, batch: Batch) -> Tensor:
    """Negative log-likelihood of the chosen answers in nats, summed over their tokens.

    As a mean over the tokens long answers weigh more, as in SFT and in TRL. token_logps `[n_entries]`.
    """
    chosen = batch.rows % 2 == 0
    return -(token_logps * chosen).sum()


@torch.no_grad()
def pair_metrics(
    chosen_rewards: Tensor, rejected_rewards: Tensor, chosen_logps: Tensor, rejected_logps: Tensor
) -> dict[str, Metric]:
    """TRL's metrics of implicit rewards and log-probabilities, all `[pairs]`, as means over the pairs."""
    values = {
        "rewards/chosen": chosen_rewards,
        "rewards/rejected": rejected_rewards,
        "rewards/margins": chosen_rewards - rejected_rewards,
        "rewards/accuracies": (chosen_rewards > rejected_rewards).float(),
        "logps/chosen": chosen_logps,
        "logps/rejected": rejected_logps,
    }
    return {name: Mean(of_pairs.sum(), len(of_pairs)) for name, of_pairs in values.items()}
