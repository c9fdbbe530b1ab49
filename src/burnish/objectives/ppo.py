"""Proximal policy optimization (Schulman 2017, arXiv:1707.06347) for language models (Ouyang 2022, arXiv:2203.02155).

Notable choices:
- a token is an action: the state before it is the prompt with the answer so far, its reward the price of leaving the
  reference; the answer's score is part of the reward of its last token;
- all losses are sums over tokens: the mean over the tokens of a minibatch does not depend on how it is split;
- metrics have TRL's names.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from burnish.datasets.batches import Batch, Column
from burnish.nn.actor_critic import ActorCriticOutputs
from burnish.objectives.objective import Mean, Measured, Number

OLD_LOGPS = Column("old_logps", "entry")
OLD_VALUES = Column("old_values", "entry")
"""What policy and critic said when the rollout was sampled."""
ADVANTAGES = Column("advantages", "entry")
RETURNS = Column("returns", "entry")


def policy_losses(logps: Tensor, old_logps: Tensor, advantages: Tensor, *, cliprange: float) -> tuple[Tensor, Tensor]:
    """Equation 7, negated: `max(-ρ A, -clip(ρ, 1 - ε, 1 + ε) A)` with ρ = π_θ(a|s) / π_old(a|s).

    All `[n]`. Returns the losses and, as booleans, where the clipped one counts.
    """
    ratio = (logps - old_logps).exp()
    free = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    return torch.maximum(free, clipped), clipped > free


def value_losses(
    values: Tensor, old_values: Tensor, returns: Tensor, *, cliprange: float | None
) -> tuple[Tensor, Tensor]:
    """Half the squared error of the values, or of those clipped to ±cliprange around the old ones, if that is larger.

    As in Schulman's and OpenAI's implementations; None clips nothing. All `[n]`; returns as `policy_losses`.
    """
    free = (values - returns).square()
    if cliprange is None:
        return free / 2, torch.zeros_like(free, dtype=torch.bool)
    clipped = (values.clamp(old_values - cliprange, old_values + cliprange) - returns).square()
    return torch.maximum(free, clipped) / 2, clipped > free


def penalized_rewards(scores: Tensor, kl: Tensor, rows: Tensor, *, kl_coef: float) -> Tensor:
    """Ouyang 2022, eq. 2, token by token: `-β kl_t`, plus the answer's score at its last token.

    scores: `[n_rows]`. kl: an estimate for each token, `[n_entries]`. rows: `[n_entries]`, as in a batch; every row has
    an entry.
    """
    last = torch.bincount(rows, minlength=len(scores)).cumsum(0) - 1
    return (-kl_coef * kl).index_add(0, last, scores.to(kl.dtype))


def adapted_kl_coef(kl_coef: float, kl: float, *, target: float, gain: float) -> float:
    """The next β (Ziegler 2019, arXiv:1909.08593, section 2.2): `β (1 + K e)`, `e = clip(KL / target - 1, -0.2, 0.2)`.

    kl: of a whole answer, in nats, the mean over a rollout.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return kl_coef * (1 + gain * error)


def updated_moments(moments: Tensor, scores: Tensor) -> Tensor:
    """Count, mean and sum of squared deviations, float64 `[3]`, with more `scores` `[n]` (Chan 1979's update)."""
    count, mean, squares = moments.unbind()
    scores = scores.to(moments)
    n, difference = len(scores), scores.mean() - mean
    total = count + n
    squares = squares + (scores - scores.mean()).square().sum() + difference.square() * count * n / total
    return torch.stack([total, mean + difference * n / total, squares])


def scaled_scores(scores: Tensor, moments: Tensor, *, shift_mean: bool) -> Tensor:
    """The scores divided by the standard deviation of all seen so far, without their mean where `shift_mean`.

    moments: those of `updated_moments`, the scores included. Scores that have all been equal are not divided.
    """
    count, mean, squares = moments.tolist()
    deviation = (squares / (count - 1)) ** 0.5 if count > 1 else 0.0
    return (scores - mean if shift_mean else scores) / (deviation or 1.0)


@dataclass(frozen=True)
class PPO:
    """The objective of an update.

    loss = policy loss + `vf_coef` · value loss - `entropy_coef` · entropy, each a mean over tokens.
    """

    cliprange: float = 0.2
    cliprange_value: float | None = 0.2
    vf_coef: float = 0.1
    entropy_coef: float = 0.0
    reads: ClassVar[tuple[Column, ...]] = (OLD_LOGPS, OLD_VALUES, ADVANTAGES, RETURNS)

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        return (batch.n_entries,)

    def __call__(self, outputs: ActorCriticOutputs, batch: Batch) -> Measured:
        logps, values = outputs.logps[batch.entries], outputs.values[batch.entries]
        old_logps = batch.column(OLD_LOGPS)
        of_policy, policy_clipped = policy_losses(logps, old_logps, batch.column(ADVANTAGES), cliprange=self.cliprange)
        of_values, values_clipped = value_losses(
            values, batch.column(OLD_VALUES), batch.column(RETURNS), cliprange=self.cliprange_value
        )
        loss = of_policy.sum() + self.vf_coef * of_values.sum()
        sums = {}
        if outputs.entropies is not None:
            entropy = outputs.entropies[batch.entries].sum()
            loss = loss - self.entropy_coef * entropy
            sums["policy/entropy_avg"] = entropy
        with torch.no_grad():
            log_ratio = logps - old_logps
            sums |= {
                "loss/policy_avg": of_policy.sum(),
                "loss/value_avg": of_values.sum(),
                "policy/approxkl_avg": log_ratio.square().sum() / 2,
                "policy/clipfrac_avg": policy_clipped.float().sum(),
                "val/clipfrac_avg": values_clipped.float().sum(),
                "val/ratio": log_ratio.exp().sum(),
            }
        return (loss,), {name: Mean(value, batch.n_entries) for name, value in sums.items()}
