"""grpo: group relative policy optimization (Shao 2024, arXiv:2402.03300) on rewards."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.rollout_stage import RolloutStage
from burnish.recipes.schema.stage import Metrics, StageContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.methods.rollout import Rollout
    from burnish.methods.rollouts import Columns, RolloutConfig
    from burnish.nn.actor_critic import Reference
    from burnish.nn.decoder import Decoder
    from burnish.nn.log_probabilities import Scores


class GrpoStage(RolloutStage):
    """Samples groups of completions to each prompt and makes the better ones of a group more probable.

    An optimizer step learns from `training.batch_size` prompts, `num_generations` completions each. `rollouts/` has all
    that was sampled, with the rewards, one file for each rollout.
    """

    type: Literal["grpo"] = Field("grpo", description="grpo")
    num_generations: int = Field(8, ge=2, description="completions of each prompt: the group")
    steps_per_generation: int = Field(1, ge=1, description="optimizer steps that share the prompts of a rollout")
    num_iterations: int = Field(1, ge=1, description="passes over a rollout")
    dynamic_sampling: int = Field(
        0, ge=0, description="so many times, groups that all earned the same are replaced by further prompts (DAPO)"
    )
    top_k: int = Field(0, ge=0, description="choose among so many tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="choose among the tokens that hold this share of probability")
    mask_truncated_completions: bool = Field(False, description="learn nothing from completions that were cut (DAPO)")

    loss_type: Literal["grpo", "bnpo", "dapo", "dr_grpo"] = Field(
        "dapo", description="how the losses of tokens are averaged"
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(
        "group", description="whose standard deviation advantages are divided by; none: Dr. GRPO"
    )
    baseline: Literal["mean", "leave_one_out"] = Field(
        "mean", description="what a reward is compared with: the group's mean, or that of the others (RLOO)"
    )
    epsilon: float = Field(0.2, gt=0, lt=1, description="the ratio is clipped at 1 - epsilon")
    epsilon_high: float | None = Field(None, gt=0, description="and at 1 + epsilon_high; the same if null (DAPO: 0.28)")
    importance_sampling_level: Literal["token", "sequence"] = Field(
        "token", description="one ratio for each token, or for each completion (GSPO)"
    )
    beta: float = Field(0.0, ge=0, description="price of leaving the model that training starts from; 0: none")
    kl_estimator: Literal["k1", "k2", "k3"] = Field("k3", description="estimator of the divergence from that model")
    kl_in: Literal["loss", "reward"] = Field("loss", description="where the price is paid")
    use_bias_correction_kl: bool = Field(False, description="multiply the divergence by the ratio (DeepSeek-V3.2)")
    log_entropy: bool = Field(False, description="log the mean entropy of the policy, at some cost")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from super().problems(folder)
        if self.kl_in == "reward" and not self.beta:
            yield ("kl_in",), "got 'reward', but beta is 0; set `beta`, the price"
        if self.kl_in == "reward" and self.use_bias_correction_kl:
            yield ("use_bias_correction_kl",), "is about the divergence in the loss; set `kl_in: loss` or remove it"

    @property
    def prompts_per_rollout(self) -> int:
        return self.training.batch_size * self.steps_per_generation

    def run(self, context: StageContext) -> Metrics:
        from burnish.methods.rollouts import RolloutSteps
        from burnish.nn.actor_critic import Reference
        from burnish.objectives.grpo import GRPO
        from burnish.training.events import read_events

        decoder, tokenizer = context.load(self.model)
        tasks, prompts, n_dropped = self.read(context, decoder, tokenizer)
        self.make_trainable(context, decoder)
        columns = self._columns(decoder, Reference(decoder) if self.beta else None)
        with self.sampling(context, decoder, tokenizer, tasks, prompts, self.rollout_config(), columns) as sampled:
            rollouts, n_rollouts = sampled
            steps = RolloutSteps(rollouts, n_rollouts, self.steps_per_generation * self.num_iterations, self.updates)
            report = self.fit(
                context,
                decoder,
                GRPO(
                    self.beta if self.kl_in == "loss" else 0.0,
                    self.epsilon,
                    self.epsilon_high,
                    self.kl_estimator,
                    self.use_bias_correction_kl,
                    self.importance_sampling_level,
                    self.loss_type,
                    self.max_new_tokens,
                ),
                steps,
                outputs=self._outputs(decoder),
                step_metrics=steps.metrics,
                shown=("reward", "kl", "tokens_per_second"),
            )
        self.save(context, decoder, tokenizer)
        events = read_events(context.folder)
        if all(event["frac_reward_zero_std"] == 1 for event in events):
            context.display.say(
                "  all completions of every group earned the same, so nothing was learned; raise `num_generations` or "
                "`temperature`, take easier tasks, or start from a model that is sometimes right",
                style="yellow",
            )
        fifth = max(1, len(events) // 5)
        return {
            "steps": report.steps,
            "rollouts": n_rollouts,
            "tasks": len(tasks),
            "dropped": n_dropped,
            "rewards_by_time": {
                "first": sum(event["reward"] for event in events[:fifth]) / fifth,
                "last": sum(event["reward"] for event in events[-fifth:]) / fifth,
            },
            **report.metrics,
        }

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"reward": {self.name or self.type: metrics["rewards_by_time"]}}

    def updates(self, rollout: "Rollout", update: int) -> "list[Batch]":
        """The micro-batches of one optimizer step: a part of the rollout's groups, the same part in every pass."""
        import torch

        from burnish.methods.rollouts import sample_batches
        from burnish.objectives.grpo import loss_count

        part = update % self.steps_per_generation
        size = self.training.batch_size * rollout.group_size
        numbers = torch.arange(part * size, (part + 1) * size)
        advantages = self.advantages(rollout)
        counts = rollout.finished if self.mask_truncated_completions else torch.ones_like(rollout.finished)
        has_gradient = counts & ((advantages != 0) | (self.beta > 0 and self.kl_in == "loss"))
        counted = rollout.lengths * counts
        n_tokens = counted.sum() / self.steps_per_generation if self.loss_type == "dapo" else counted[numbers].sum()
        # What has no gradient is left out; one completion stays, counting nothing, where all others are.
        kept = numbers[has_gradient[numbers]]
        kept = kept if len(kept) else numbers[:1]
        count = loss_count(
            self.loss_type,
            n_rows=size,
            n_tokens=max(1.0, float(n_tokens)),
            max_completion_length=self.max_new_tokens,
        )
        batches = sample_batches(
            rollout,
            kept.tolist(),
            micro_batch_tokens=self.training.micro_batch_tokens,
            rows={"advantages": advantages, "counted": has_gradient},
        )
        # Also what was left out counts, so each batch bears an equal part of what the step is divided by.
        share = torch.tensor(count / len(batches), dtype=torch.float64)
        return [batch.with_columns(loss_count=share) for _, batch in batches]

    def advantages(self, rollout: "Rollout") -> "Tensor":
        """Of each completion: `[n]`; exactly 0 where all of a group earned the same."""
        from burnish.objectives.grpo import group_advantages

        totals = rollout.totals
        if self.kl_in == "reward":
            totals = totals - self.beta * self._divergences(rollout).view_as(totals)
        advantages = group_advantages(totals, self.scale_rewards, baseline=self.baseline)
        varies = totals.amax(1, keepdim=True) != totals.amin(1, keepdim=True)
        return advantages.mul(varies).flatten()

    def _divergences(self, rollout: "Rollout") -> "Tensor":
        """Estimated divergence of each completion when it was sampled, summed over its tokens: `[n]`."""
        import torch

        from burnish.objectives.kl import kl_estimate

        pairs = zip(rollout.columns["old_logps"], rollout.columns["reference_logps"], strict=True)
        return torch.stack([kl_estimate(old, reference, self.kl_estimator).sum() for old, reference in pairs])

    def passes(self) -> int:
        return self.num_iterations

    def rollout_config(self) -> "RolloutConfig":
        from burnish.generation.sampling import Sampling
        from burnish.methods.rollouts import RolloutConfig

        return RolloutConfig(
            sampling=Sampling(
                temperature=self.temperature,
                top_k=self.top_k,
                top_p=self.top_p,
                max_new_tokens=self.max_new_tokens,
            ),
            prompts=self.prompts_per_rollout,
            num_generations=self.num_generations,
            dynamic_sampling=self.dynamic_sampling,
            micro_batch_tokens=self.training.micro_batch_tokens,
        )

    def _columns(self, decoder: "Decoder", reference: "Reference | None") -> "Columns":
        """Asked once about a rollout: log-probabilities of the sampling policy, where it changes, and of π_ref."""
        changes = self.steps_per_generation * self.num_iterations > 1 or self.kl_in == "reward"

        def logps(policy: "Decoder", batch: "Batch") -> "Tensor":
            return policy.logps(batch.forest, batch.scored, temperature=self.temperature)

        def columns(batch: "Batch") -> "Mapping[str, Tensor]":
            found = {"old_logps": logps(decoder, batch)} if changes else {}
            if reference is not None:
                with reference.decoder() as frozen:
                    found["reference_logps"] = logps(frozen, batch)
            return found

        return columns

    def _outputs(self, decoder: "Decoder") -> "Callable[[Batch], Tensor | Scores]":
        """Log-probabilities of a batch's scored tokens at `temperature`, with entropies where they are logged."""
        return lambda batch: decoder(
            batch.forest, scored=batch.scored, temperature=self.temperature, entropies=self.log_entropy
        )
