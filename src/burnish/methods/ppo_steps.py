"""The updates of PPO: what a rollout's tokens are worth, and the minibatches of several epochs over them.

Notable choices:
- β and the moments of the scores change with the first update of a rollout and are buffers of the model, so that a run
  which goes on between two updates of a rollout finds them as they were;
- advantages are not stored: they are a function of the stored rollout and these buffers;
- the minibatches are a function of (seed, rollout, epoch).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.datasets.rollout import Rollout, rollout_batches
from burnish.methods.ppo import Settings
from burnish.methods.rollouts import Columns, Rollouts
from burnish.nn.actor_critic import ActorCritic, ReferencePolicy
from burnish.objectives.advantages import generalized_advantages, whitened
from burnish.objectives.kl import kl_estimate
from burnish.objectives.ppo import adapted_kl_coef, penalized_rewards, scaled_scores, updated_moments
from burnish.rewards.sampled_groups import metrics_by_group


def rollout_columns(model: ActorCritic, reference: ReferencePolicy) -> Columns:
    """What is kept of each sampled token: its log-probability under policy and reference, the value before it."""

    def columns(batch: Batch) -> dict[str, Tensor]:
        model.eval()
        of_policy = model(batch.forest, batch.scored)
        with reference.decoder() as decoder:
            reference_logps = decoder.logps(batch.forest, batch.scored, temperature=model.temperature)
        return {"old_logps": of_policy.logps, "old_values": of_policy.values, "reference_logps": reference_logps}

    return columns


class PPOSteps:
    """The optimizer steps of a run: `num_ppo_epochs` times `num_mini_batches` on each of `n_rollouts` rollouts.

    The batches have the columns that `PPO` reads; `rollouts` have those of `rollout_columns`. group_of: as for
    `RolloutSteps`. latest: the step that was asked for last.
    """

    def __init__(
        self,
        model: ActorCritic,
        rollouts: Rollouts,
        settings: Settings,
        *,
        n_rollouts: int,
        seed: int,
        group_of: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        self._model, self._rollouts, self._settings = model, rollouts, settings
        self._n_rollouts, self._seed, self._group_of = n_rollouts, seed, group_of
        self._targets: dict[str, list[Tensor]] = {}
        self._metrics: dict[str, float] = {}
        self._prepared = -1
        self.latest = -1

    @property
    def per_rollout(self) -> int:
        return self._settings.num_ppo_epochs * self._settings.num_mini_batches

    def __len__(self) -> int:
        return self._n_rollouts * self.per_rollout

    def __getitem__(self, step: int) -> list[Batch]:
        self.latest = step
        number, update = divmod(step, self.per_rollout)
        rollout = self._rollouts[number]
        if update == 0:
            self._begin(rollout)
        if number != self._prepared or update == 0:
            self._prepare(rollout)
            self._prepared = number
        epoch, part = divmod(update, self._settings.num_mini_batches)
        order = np.random.default_rng([self._seed, number, epoch]).permutation(len(rollout.answers))
        numbers = sorted(np.array_split(order, self._settings.num_mini_batches)[part].tolist())
        batches = rollout_batches(
            rollout, numbers, micro_batch_tokens=self._rollouts.config.micro_batch_tokens, tokens=self._targets
        )
        return [batch for _, batch in batches]

    def resume(self, step: int) -> None:
        """Raise BurnishError where the rollout that was being learned from is gone."""
        self._rollouts.resume(*divmod(step, self.per_rollout))

    def metrics(self, step: int) -> dict[str, float]:
        """What the step's rollout earned and cost: `step_metrics` of the training loop, with TRL's names."""
        return self._metrics

    def _begin(self, rollout: Rollout) -> None:
        """Bring the model's buffers to the rollout that is now learned from."""
        model, settings = self._model, self._settings
        model.kl_coef.copy_(model.next_kl_coef)
        model.score_moments.copy_(updated_moments(model.score_moments, rollout.earned.flatten()))
        if settings.target_kl is not None:
            kl = self._token_kl(rollout).sum().item() / len(rollout.answers)
            adapted = adapted_kl_coef(model.kl_coef.item(), kl, target=settings.target_kl, gain=settings.kl_gain)
            model.next_kl_coef.fill_(adapted)

    def _prepare(self, rollout: Rollout) -> None:
        """Compute the advantages and returns of the rollout's tokens, and its metrics."""
        settings, lengths = self._settings, rollout.lengths
        rows = torch.repeat_interleave(lengths)
        kl, kl_coef, scores = self._token_kl(rollout), self._model.kl_coef.item(), self._scores(rollout)
        rewards = penalized_rewards(scores, kl, rows, kl_coef=kl_coef)
        if "token_scores" in rollout.columns:
            of_tokens = self._scaled(torch.cat(list(rollout.columns["token_scores"])), shift_mean=False).nan_to_num()
            rewards = rewards + of_tokens
            scores = scores.index_add(0, rows, of_tokens)
        if settings.whiten_rewards:
            rewards = whitened(rewards, shift_mean=False)
        values = torch.cat(list(rollout.columns["old_values"]))
        advantages, returns = generalized_advantages(rewards, values, rows, gamma=settings.gamma, lam=settings.lam)
        if settings.whiten_advantages:
            advantages = whitened(advantages)
        sizes, n = lengths.tolist(), len(lengths)
        self._targets = {"advantages": list(advantages.split(sizes)), "returns": list(returns.split(sizes))}
        kl_per_answer = kl.sum().item() / n
        self._metrics = metrics_by_group(rollout, self._group_of) | {
            "sampling/sampling_logp_difference/mean": self._sampling_difference(rollout),
            "objective/kl": kl_per_answer,
            "objective/entropy": -torch.cat(list(rollout.columns["old_logps"])).sum().item() / n,
            "objective/non_score_reward": -kl_coef * kl_per_answer,
            "objective/rlhf_reward": scores.mean().item() - kl_coef * kl_per_answer,
            "objective/scores": scores.mean().item(),
            "objective/kl_coef": kl_coef,
            "val/num_eos_tokens": rollout.finished.sum().item(),
        }

    def _sampling_difference(self, rollout: Rollout) -> float:
        """How far the policy's log-probabilities are from those that the engine sampled by, in nats a token."""
        logps, sampling = (torch.cat(list(rollout.columns[name])) for name in ("old_logps", "sampling_logps"))
        return (logps - sampling).abs().mean().item()

    def _token_kl(self, rollout: Rollout) -> Tensor:
        logps, reference_logps = (torch.cat(list(rollout.columns[name])) for name in ("old_logps", "reference_logps"))
        return kl_estimate(logps, reference_logps, self._settings.kl_estimator)

    def _scores(self, rollout: Rollout) -> Tensor:
        """What completions earn as a whole, at their last token, those that were cut penalized: `[n]`."""
        scores = self._scaled(rollout.outcomes.flatten(), shift_mean=self._settings.use_score_norm)
        if self._settings.missing_eos_penalty is not None:
            scores = torch.where(rollout.finished, scores, scores - self._settings.missing_eos_penalty)
        return scores

    def _scaled(self, scores: Tensor, *, shift_mean: bool) -> Tensor:
        """Scores of completions or of tokens, scaled by what completions earn, and clipped."""
        settings = self._settings
        if settings.use_score_scaling:
            scores = scaled_scores(scores, self._model.score_moments, shift_mean=shift_mean)
        if settings.score_clip is not None:
            scores = scores.clamp(-settings.score_clip, settings.score_clip)
        return scores
