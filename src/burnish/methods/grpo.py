"""Group relative policy optimization (GRPO; Shao 2024, arXiv:2402.03300): groups of answers, compared by their rewards.

A rollout is a group of completions to each of some prompts, sampled from the policy as it is now and rewarded. What
earned more than the others of its group becomes more probable, what earned less less. Then the next rollout is sampled.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.methods.measuring import Metrics, by_time
from burnish.methods.saving import save, snapshot_of
from burnish.methods.settings import RolloutSettings, source
from burnish.methods.training import OnTheWay, begin, fit, make_trainable

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.agents.acting import Acting
    from burnish.datasets.batches import Batch
    from burnish.datasets.rollout import Rollout
    from burnish.datasets.rows import Task
    from burnish.methods.heldout_tasks import HeldOutTasks
    from burnish.nn.decoder import Decoder
    from burnish.nn.log_probabilities import Scores
    from burnish.rewards.environment import Environment
    from burnish.rewards.judgement import WeightedJudge
    from burnish.runs.run import Run
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress


class Settings(RolloutSettings):
    """How groups are sampled, what their rewards become, and the loss; names are TRL's."""

    num_generations: int = Field(8, ge=2, le=100_000, description="completions of each prompt: the group")
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
    importance_sampling_level: Literal["token", "sequence", "whole_sequence"] = Field(
        "token",
        description="one ratio for each token, or for each completion: the geometric mean of its tokens' (GSPO), or "
        "their product, without 1/|o| (DeepSeek-R1)",
    )
    beta: float = Field(0.0, ge=0, description="price of leaving the model that training starts from; 0: none")
    kl_estimator: Literal["k1", "k2", "k3"] = Field("k3", description="estimator of the divergence from that model")
    kl_in: Literal["loss", "reward"] = Field("loss", description="where the price is paid")
    use_bias_correction_kl: bool = Field(False, description="multiply the divergence by the ratio (DeepSeek-V3.2)")
    log_entropy: bool = Field(False, description="log the mean entropy of the policy, at some cost")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if self.kl_in == "reward" and not self.beta:
            yield "kl_in", "got 'reward', but beta is 0; set `beta`, the price"
        if self.kl_in == "reward" and self.use_bias_correction_kl:
            yield "use_bias_correction_kl", "is about the divergence in the loss; set `kl_in: loss` or remove it"

    def prompts_per_rollout(self, n_tasks: int) -> int:
        return self.training.batch_size * self.steps_per_generation

    @property
    def passes(self) -> int:
        return self.num_iterations

    @property
    def kl_in_loss(self) -> float:
        """β where the loss pays it."""
        return self.beta if self.kl_in == "loss" else 0.0


def train(
    model: "Decoder",
    tokenizer: "Tokenizer",
    tasks: "Sequence[Task]",
    rewards: "Sequence[WeightedJudge]",
    settings: Settings,
    run: "Run",
    *,
    heldout: "HeldOutTasks | None" = None,
    base: Path | None = None,
    acting: "Acting | None" = None,
) -> Metrics:
    """Train `model` in place on what it samples for the tasks, and write it into `model/` of the run's folder.

    `rollouts/` there has all that was sampled, with the rewards, one file for each rollout. An interrupted training is
    gone on with, to the same bits. Returns the measurements. heldout: what the policy is measured on before training,
    every `training.eval_steps` and at the end; all answers are in `evaluations/`. base: as for
    `burnish.methods.saving.save`. acting: calls tools between what is drawn; nothing of their results is learned.
    Raises DataError where no prompt leaves room for an answer, or there would be no rollout.
    """
    from burnish.methods.environment import environment_of, heldout_environment

    run = begin(model, tasks, settings, run)
    environment, n_dropped = environment_of(model, tokenizer, tasks, rewards, settings, run, acting=acting)
    measured = heldout_environment(model, tokenizer, heldout, settings, run, acting=acting)
    make_trainable(model, settings, run)
    metrics = learn(model, environment, settings, run, heldout=measured)
    save(model, tokenizer, settings, run, base=base)
    return {"dropped": n_dropped, **metrics}


def learn(
    model: "Decoder",
    environment: "Environment",
    settings: Settings,
    run: "Run",
    *,
    heldout: "Environment | None" = None,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> Metrics:
    """Train those parameters of `model` that are trainable, on prompts given as tokens; heldout: as for `train`."""
    from burnish.methods.heldout_tasks import watched
    from burnish.methods.rollouts import Rollouts, RolloutSteps
    from burnish.nn.actor_critic import ReferencePolicy
    from burnish.objectives.grpo import GRPO
    from burnish.rewards.sampled_groups import RolloutConfig
    from burnish.training.events import read_events

    n_rollouts = settings.n_rollouts(len(environment.tasks), source(environment.tasks))
    reference = ReferencePolicy(model) if settings.beta else None
    # At the first update after sampling the policy is the one that sampled, and need not be asked.
    changes = settings.steps_per_generation * settings.num_iterations > 1 or settings.kl_in == "reward"

    def logps(policy: "Decoder", batch: "Batch") -> "Tensor":
        return policy.logps(batch.forest, batch.scored, temperature=settings.temperature)

    def columns(batch: "Batch") -> "Mapping[str, Tensor]":
        found = {"old_logps": logps(model, batch)} if changes else {}
        if reference is not None:
            with reference.decoder() as frozen:
                found["reference_logps"] = logps(frozen, batch)
        return found

    def outputs(batch: "Batch") -> "Tensor | Scores":
        temperature, entropies = settings.temperature, settings.log_entropy
        return model(batch.forest, scored=batch.scored, temperature=temperature, entropies=entropies)

    config = RolloutConfig(
        sampling=settings.sampling(top_k=settings.top_k, top_p=settings.top_p),
        prompts=settings.prompts_per_rollout(len(environment.tasks)),
        num_generations=settings.num_generations,
        dynamic_sampling=settings.dynamic_sampling,
        micro_batch_tokens=settings.training.micro_batch_tokens,
    )
    rollouts = Rollouts(model, environment, config, run, columns=columns)
    updates_each = settings.steps_per_generation * settings.num_iterations
    steps = RolloutSteps(
        rollouts,
        n_rollouts,
        updates_each,
        lambda rollout, _, update: updates(rollout, update, settings),
        lambda task: settings.group_of(environment.tasks[task]),
    )
    watch = watched(model, heldout, config, settings, run)
    objective = GRPO(
        settings.kl_in_loss,
        settings.epsilon,
        settings.epsilon_high,
        settings.kl_estimator,
        settings.use_bias_correction_kl,
        settings.importance_sampling_level,
        settings.loss_type,
        settings.max_new_tokens,
    )
    report = fit(
        model,
        objective,
        steps,
        settings,
        run,
        outputs=outputs,
        step_metrics=steps.metrics,
        shown=("reward", "kl", "tokens_per_second"),
        on_the_way=OnTheWay(watch.on_the_way(steps) if watch else None, snapshot_of(model, environment.tokenizer)),
        on_progress=on_progress,
    )
    events = read_events(run.folder)
    if all(event["frac_reward_zero_std"] == 1 for event in events):
        run.warn(
            "all completions of every group earned the same, so nothing was learned; raise `num_generations` or "
            "`temperature`, take easier tasks, or start from a model that is sometimes right"
        )
    return {
        "steps": report.steps,
        "rollouts": n_rollouts,
        "tasks": len(environment.tasks),
        "rewards_by_time": by_time(events, "reward"),
        **report.metrics,
        **(watch.compared(report) if watch else {}),
    }


def updates(rollout: "Rollout", update: int, settings: Settings) -> "list[Batch]":
    """The micro-batches of one optimizer step: a part of the rollout's groups, the same part in every pass."""
    import torch

    from burnish.datasets.rollout import rollout_batches
    from burnish.objectives.grpo import loss_count

    part = update % settings.steps_per_generation
    size = settings.training.batch_size * rollout.group_size
    numbers = torch.arange(part * size, (part + 1) * size)
    of_rows, of_tokens = advantages(rollout, settings), token_advantages(rollout, settings)
    teaches = of_rows != 0
    for number, values in enumerate(of_tokens.get("token_advantages", [])):
        teaches[number] |= bool(values.any())
    counts = rollout.finished if settings.mask_truncated_completions else torch.ones_like(rollout.finished)
    has_gradient = counts & (teaches | (settings.kl_in_loss > 0))
    counted = rollout.lengths * counts
    n_tokens = counted.sum() / settings.steps_per_generation if settings.loss_type == "dapo" else counted[numbers].sum()
    # What has no gradient is left out; one completion stays, counting nothing, where all others are.
    kept = numbers[has_gradient[numbers]]
    kept = kept if len(kept) else numbers[:1]
    count = loss_count(
        settings.loss_type,
        n_rows=size,
        n_tokens=max(1.0, float(n_tokens)),
        max_completion_length=settings.max_new_tokens,
    )
    batches = rollout_batches(
        rollout,
        kept.tolist(),
        micro_batch_tokens=settings.training.micro_batch_tokens,
        rows={"advantages": of_rows, "counted": has_gradient},
        tokens=of_tokens,
    )
    # Also what was left out counts, so each batch bears an equal part of what the step is divided by.
    share = torch.tensor(count / len(batches), dtype=torch.float64)
    return [batch.with_columns(loss_count=share) for _, batch in batches]


def advantages(rollout: "Rollout", settings: Settings) -> "Tensor":
    """Of each completion: `[n]`; exactly 0 where all of a group earned the same."""
    from burnish.objectives.grpo import group_advantages

    totals = rollout.outcomes
    if settings.kl_in == "reward":
        totals = totals - settings.beta * _divergences(rollout, settings).view_as(totals)
    found = group_advantages(totals, settings.scale_rewards, baseline=settings.baseline)
    varies = totals.amax(1, keepdim=True) != totals.amin(1, keepdim=True)
    return found.mul(varies).flatten()


def token_advantages(rollout: "Rollout", settings: Settings) -> "dict[str, list[Tensor]]":
    """The column of advantages that single tokens have beside that of their completion; none without token scores."""
    from burnish.objectives.grpo import step_advantages

    if "token_scores" not in rollout.columns:
        return {}
    scores, size = rollout.columns["token_scores"], rollout.group_size
    return {"token_advantages": step_advantages(scores, size, settings.scale_rewards, baseline=settings.baseline)}


def _divergences(rollout: "Rollout", settings: Settings) -> "Tensor":
    """Estimated divergence of each completion when it was sampled, summed over its tokens: `[n]`."""
    import torch

    from burnish.objectives.kl import kl_estimate

    pairs = zip(rollout.columns["old_logps"], rollout.columns["reference_logps"], strict=True)
    return torch.stack([kl_estimate(old, reference, settings.kl_estimator).sum() for old, reference in pairs])
