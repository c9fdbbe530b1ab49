"""What the objectives over pairs of answers have in common.

The rows of a batch are chosen, rejected, chosen, rejected, ..., as `datasets.batches.preference_batches` makes them.
"""

import torch
from torch import Tensor

from burnish.datasets.batches import Batch


def chosen_and_rejected(values: Tensor) -> tuple[Tensor, Tensor]:
    """Split `[2 * pairs]`, one value a row, into those of the chosen and of the rejected answers, each `[pairs]`."""
    chosen, rejected = values.view(-1, 2).unbind(1)
    return chosen, rejected


def row_means(token_values: Tensor, batch: Batch) -> Tensor:
    """Mean of `token_values` `[n_entries]` over the tokens of each row's answer: `[n_rows]`."""
    return batch.row_sums(token_values) / torch.bincount(batch.rows, minlength=batch.n_rows)


def chosen_nll(token_logps: Tensor, batch: Batch) -> Tensor:
    """Negative log-likelihood of the chosen answers, as a sum over the batch whose mean over the step's pairs is the
    mean over the tokens of all chosen answers of the step, in nats; so long answers weigh more, as in SFT and in TRL.

    token_logps `[n_entries]`. Reads the column `mean_chosen_length`.
    """
    chosen = batch.rows % 2 == 0
    return -(token_logps * chosen).sum() / batch.columns["mean_chosen_length"]


@torch.no_grad()
def pair_metrics(
    chosen_rewards: Tensor, rejected_rewards: Tensor, chosen_logps: Tensor, rejected_logps: Tensor
) -> dict[str, Tensor]:
    """TRL's metrics of implicit rewards and log-probabilities, all `[pairs]`, summed over the pairs."""
    return {
        "rewards/chosen": chosen_rewards.sum(),
        "rewards/rejected": rejected_rewards.sum(),
        "rewards/margins": (chosen_rewards - rejected_rewards).sum(),
        "rewards/accuracies": (chosen_rewards > rejected_rewards).float().sum(),
        "logps/chosen": chosen_logps.sum(),
        "logps/rejected": rejected_logps.sum(),
    }
