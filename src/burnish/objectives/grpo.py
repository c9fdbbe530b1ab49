"""Group relative policy optimization (GRPO; Shao 2024, arXiv:2402.03300) and the known corrections to it.

Notable choices:
- no critic: a completion is compared with the others of its group;
- what the losses of tokens are divided by is the whole step's, also rows that were left out since they teach nothing;
- at the first update after sampling the ratio is 1, so the sampling policy need not have been asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from burnish.datasets.batches import REFERENCE_LOGPS, Batch, Column
from burnish.nn.log_probabilities import Scores
from burnish.objectives.kl import Estimator, kl_estimate
from burnish.objectives.objective import Mean, Measured, Number

ADVANTAGES = Column("advantages", "row")
TOKEN_ADVANTAGES = Column("token_advantages", "entry")
OLD_LOGPS = Column("old_logps", "entry")
SAMPLING_LOGPS = Column("sampling_logps", "entry")
LOSS_COUNT = Column("loss_count", "batch")
COUNTED = Column("counted", "row")
"""Whether a completion teaches anything, bool; one that does not may stand in a step where all others are left out."""

Scale = Literal["group", "batch", "none"]
Baseline = Literal["mean", "leave_one_out"]
LossType = Literal["grpo", "bnpo", "dapo", "dr_grpo"]
ImportanceSamplingLevel = Literal["token", "sequence", "whole_sequence"]

_STD_EPSILON = 1e-4


def group_advantages(rewards: Tensor, scale: Scale = "group", *, baseline: Baseline = "mean") -> Tensor:
    """`A_i = (r_i - mean(r)) / std(r)` within each group (section 4.1.2); rewards and result `[groups, G]`.

    scale: `group` divides by the group's standard deviation, `batch` by that of all rewards, `none` not at all (Dr.
        GRPO, arXiv:2503.20783: dividing by the group's favours questions that are too easy or too hard). Deviations
        are those of a sample (n - 1), with 1e-4 added.
    baseline: `leave_one_out` compares with the mean of the other completions (RLOO, arXiv:2402.14740), which is
        unbiased; it is the same up to the factor G / (G - 1).
    """
    size = rewards.shape[1]
    if size < 2:
        raise ValueError(f"a group needs at least two completions to be compared, got {size}")
    advantages = rewards - rewards.mean(1, keepdim=True)
    if baseline == "leave_one_out":
        advantages = advantages * (size / (size - 1))
    if scale == "group":
        return advantages / (rewards.std(1, keepdim=True) + _STD_EPSILON)
    if scale == "batch":
        return advantages / (rewards.std() + _STD_EPSILON)
    return advantages


def step_advantages(
    scores: Sequence[Tensor], group_size: int, scale: Scale = "group", *, baseline: Baseline = "mean"
) -> list[Tensor]:
    """Advantages of tokens by the scores of steps (process supervision, section 4.1.3), of each completion `[tokens]`.

    A step is compared with all steps of its group, `(r_j - mean(r)) / std(r)`, and what it is above or below them
    counts for its token and those before: `A_t` is the sum over the steps that end at t or later. Exactly 0 in a group
    whose steps all scored the same.

    scores: of each completion, group by group, float `[tokens]`, NaN at tokens that end no step. scale and baseline as
    for `group_advantages`, steps in the place of completions.
    """
    of_all = _known(scores)
    advantages = []
    for start in range(0, len(scores), group_size):
        group = scores[start : start + group_size]
        steps = _known(group)
        varies = len(steps.unique()) > 1
        for of_tokens in group:
            found = (of_tokens - steps.mean()).nan_to_num() if varies else torch.zeros_like(of_tokens)
            if varies and baseline == "leave_one_out":
                found = found * (len(steps) / (len(steps) - 1))
            if varies and scale != "none":
                found = found / ((steps if scale == "group" else of_all).std() + _STD_EPSILON)
            advantages.append(found.flip(0).cumsum(0).flip(0))
    return advantages


def _known(scores: Sequence[Tensor]) -> Tensor:
    flat = torch.cat(list(scores))
    return flat[~flat.isnan()]


def loss_count(loss_type: LossType, *, n_rows: int, n_tokens: float, max_completion_length: int | None) -> float:
    """What the sum over an optimizer step's tokens is divided by.

    grpo: `n_rows`, of the mean over a row's tokens (equation 3): a token of a long answer counts less.
    bnpo, dapo: `n_tokens`: those of the step (`bnpo`), or those of the rollout divided by its steps (`dapo`; DAPO,
        arXiv:2503.14476, equation 8).
    dr_grpo: `n_rows · max_completion_length`, a constant (Dr. GRPO, arXiv:2503.20783).

    n_rows: rows of the step, also those left out of the computation because they have no gradient.
    """
    if loss_type == "grpo":
        return n_rows
    if loss_type != "dr_grpo":
        return n_tokens
    if max_completion_length is None:
        raise ValueError("dr_grpo divides by max_completion_length: give it")
    return n_rows * max_completion_length


@dataclass(frozen=True)
class PolicyTerms:
    """Of each token `[n]`: its loss, and whether the clip took its gradient, at the lower or the upper bound."""

    losses: Tensor
    low_clipped: Tensor
    high_clipped: Tensor


def clipped_policy_loss(
    log_ratio: Tensor, advantages: Tensor, *, epsilon: float, epsilon_high: float | None = None
) -> PolicyTerms:
    """`-min(ρ A, clip(ρ, 1 - ε, 1 + ε_high) A)` with ρ = exp(log_ratio) = π_θ / π_old (equation 3), elementwise.

    A higher upper bound leaves improbable tokens room to grow ("clip higher", DAPO, section 3.1); None: as the lower.
    """
    ratio = log_ratio.exp()
    low, high = 1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high)
    losses = -torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    return PolicyTerms(losses, (ratio < low) & (advantages < 0), (ratio > high) & (advantages > 0))


@dataclass(frozen=True)
class GRPO:
    """The objective over batches whose rows are completions.

    Columns that a batch may have: `token_advantages`, added to those of the completion; `old_logps` under the policy
    that sampled, the current ones where left out; `sampling_logps`, the same as the engine saw them, for a metric;
    `reference_logps`, needed where `beta` is not 0; `loss_count`, this batch's part of what the step's loss is divided
    by (`loss_count`), that of its own rows where left out; `counted`, all rows where left out.

    loss_type: how the losses of tokens are averaged; max_completion_length: what `dr_grpo` divides by.
    importance_sampling_level: `sequence` takes one ratio for a completion, the geometric mean of those of its tokens
        (GSPO, arXiv:2507.18071, equation 7); `whole_sequence` their product, π_θ(o|q) / π_old(o|q), without 1/|o|, and
        the divergence is of the whole completion too. With `grpo` as loss_type these are equations 1 and 2 of
        DeepSeek-R1 (arXiv:2501.12948).
    use_bias_correction_kl: multiplies the divergence by the ratio (DeepSeek-V3.2, arXiv:2512.02556, equation 7), which
        makes k3's gradient that of KL(π_θ ∥ π_ref), also for samples of an older policy; equation 3 does not.
    The outputs are log-probabilities, or `Scores`, whose mean entropy is logged then. Metrics have TRL's names and are
    means over tokens; `kl` is there where the batch has `reference_logps`.
    """

    beta: float = 0.0
    epsilon: float = 0.2
    epsilon_high: float | None = None
    kl_estimator: Estimator = "k3"
    use_bias_correction_kl: bool = False
    importance_sampling_level: ImportanceSamplingLevel = "token"
    loss_type: LossType = "dapo"
    max_completion_length: int | None = None

    @property
    def reads(self) -> tuple[Column, ...]:
        return (ADVANTAGES, REFERENCE_LOGPS) if self.beta else (ADVANTAGES,)

    def counts(self, batch: Batch) -> tuple[Number, ...]:
        if batch.has(LOSS_COUNT):
            return (batch.column(LOSS_COUNT),)
        limit = self.max_completion_length
        return (loss_count(self.loss_type, n_rows=batch.n_rows, n_tokens=batch.n_entries, max_completion_length=limit),)

    def __call__(self, outputs: Tensor | Scores, batch: Batch) -> Measured:
        logps = (outputs.logps if isinstance(outputs, Scores) else outputs)[batch.entries]
        old_logps = batch.column(OLD_LOGPS) if batch.has(OLD_LOGPS) else logps.detach()
        log_ratio = logps - old_logps
        if self.importance_sampling_level != "token":
            log_ratio = batch.row_sums(log_ratio)[batch.rows]
        if self.importance_sampling_level == "sequence":
            log_ratio = log_ratio / batch.row_lengths[batch.rows]
        advantages = batch.column(ADVANTAGES)[batch.rows]
        if batch.has(TOKEN_ADVANTAGES):
            advantages = advantages + batch.column(TOKEN_ADVANTAGES)
        terms = clipped_policy_loss(log_ratio, advantages, epsilon=self.epsilon, epsilon_high=self.epsilon_high)
        losses = terms.losses
        sums = {
            "clip_ratio/low_mean": terms.low_clipped.float().sum(),
            "clip_ratio/high_mean": terms.high_clipped.float().sum(),
            "clip_ratio/region_mean": (terms.low_clipped | terms.high_clipped).float().sum(),
        }
        if batch.has(SAMPLING_LOGPS):
            difference = (old_logps - batch.column(SAMPLING_LOGPS)).abs()
            sums["sampling/sampling_logp_difference/mean"] = difference.sum()
        if self.beta or batch.has(REFERENCE_LOGPS):
            reference_logps = batch.column(REFERENCE_LOGPS)
            kl = kl_estimate(logps, reference_logps, self.kl_estimator)
            sums["kl"] = (kl * log_ratio.exp() if self.use_bias_correction_kl else kl).sum()
            if self.importance_sampling_level == "whole_sequence":
                of_rows = kl_estimate(batch.row_sums(logps), batch.row_sums(reference_logps), self.kl_estimator)
                kl = of_rows[batch.rows]
            if self.use_bias_correction_kl:
                kl = kl * log_ratio.exp()
            if self.beta:
                losses = losses + self.beta * kl
        if isinstance(outputs, Scores) and outputs.entropies is not None:
            sums["entropy"] = outputs.entropies[batch.entries].sum()
        if self.loss_type == "grpo":
            losses = losses / batch.row_lengths[batch.rows]
        if batch.has(COUNTED):
            losses = losses * batch.column(COUNTED)[batch.rows]
        return (losses.sum(),), {name: Mean(value, batch.n_entries) for name, value in sums.items()}
