"""Direct preference optimization (Rafailov 2023, arXiv:2305.18290)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.datasets.batches import Batch


@dataclass(frozen=True)
class DPOTerms:
    """Per pair: the losses and the implicit rewards `β log(π_θ(y|x) / π_ref(y|x))` (section 4), each `[pairs]`."""

    losses: Tensor
    chosen_rewards: Tensor
    rejected_rewards: Tensor


def dpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float,
) -> DPOTerms:
    """Equation 7: `-log σ(β log(π_θ(y_w|x)/π_ref(y_w|x)) - β log(π_θ(y_l|x)/π_ref(y_l|x)))`.

    All log-probabilities are `[pairs]`, summed over the tokens of the answer, in nats.
    """
    chosen_rewards = beta * (chosen_logps - reference_chosen_logps)
    rejected_rewards = beta * (rejected_logps - reference_rejected_logps)
    return DPOTerms(-F.logsigmoid(chosen_rewards - rejected_rewards), chosen_rewards, rejected_rewards)


@dataclass(frozen=True)
class DPO:
    """The objective over batches of pairs, with TRL's metric names.

    `kl` estimates KL(π_ref ∥ π_θ) of an answer in nats by the k3 estimator (Schulman 2020), summed over its tokens:
    unbiased when the answers were sampled from the reference, as in the recipe's `sample` stage.
    """

    beta: float

    def __call__(self, logps: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        token_logps = logps[batch.entries]
        reference = batch.columns["reference_logps"]
        chosen, rejected = batch.row_sums(token_logps).view(-1, 2).unbind(1)
        reference_chosen, reference_rejected = batch.row_sums(reference).view(-1, 2).unbind(1)
        terms = dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta=self.beta)
        with torch.no_grad():
            log_ratio = token_logps - reference
            metrics = {
                "rewards/chosen": terms.chosen_rewards.sum(),
                "rewards/rejected": terms.rejected_rewards.sum(),
                "rewards/margins": (terms.chosen_rewards - terms.rejected_rewards).sum(),
                "rewards/accuracies": (terms.chosen_rewards > terms.rejected_rewards).float().sum(),
                "logps/chosen": chosen.sum(),
                "logps/rejected": rejected.sum(),
                "kl": (log_ratio.expm1() - log_ratio).sum() / 2,
            }
        return terms.losses.sum(), metrics
