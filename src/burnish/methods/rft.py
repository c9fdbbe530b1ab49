"""Rejection-sampling fine-tuning (RFT; Yuan 2023, arXiv:2308.01825): learn from those of one's answers that are right.

Offline, answers to all tasks are sampled from the model that training starts from, judged, and those that are right
learned from as in supervised fine-tuning; in several rounds each samples from the model as the one before left it.
Online (DeepSeekMath, arXiv:2402.03300, appendix A.1), every rollout is sampled from the model as it is now, as in GRPO,
which also learns from what was wrong.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.methods.acceptance import AcceptanceSettings, kept
from burnish.methods.measuring import Metrics, by_time
from burnish.methods.saving import save, snapshot_of
from burnish.methods.settings import RolloutSettings, source
from burnish.methods.training import OnTheWay, begin, fit, make_trainable

if TYPE_CHECKING:
    from burnish.datasets.batches import Batch
    from burnish.datasets.rollout import Rollout
    from burnish.datasets.rows import Task
    from burnish.methods.heldout_tasks import HeldOutTasks
    from burnish.methods.rollouts import Rollouts
    from burnish.nn.decoder import Decoder
    from burnish.rewards.environment import Environment
    from burnish.rewards.judgement import JudgedAnswer, WeightedJudge
    from burnish.runs.run import Run
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress

ACCEPTED, KEPT = "accepted", "kept"
"""What `rollouts/` says of an answer beside its rewards."""
REMEDY = (
    "read `rollouts/`, raise `num_generations` or `temperature`, lower `threshold`, take easier tasks, or start from a "
    "model that is sometimes right"
)


class Settings(AcceptanceSettings, RolloutSettings):
    """When answers are sampled, which of them are kept, and the loss."""

    online: bool = Field(
        False,
        description="true: each rollout is of `training.batch_size` times `steps_per_generation` prompts and sampled "
        "from the model as it is; false: of all tasks, and `training.epochs` passes over what was kept follow",
    )
    temperature: float = Field(
        1.0, gt=0, description="1 samples from the model itself, which the loss is always of; less is more cautious"
    )
    num_generations: int = Field(8, ge=1, le=100_000, description="answers to each prompt of a rollout")
    steps_per_generation: int = Field(1, ge=1, description="online: optimizer steps that share a rollout's prompts")
    top_k: int = Field(0, ge=0, description="choose among so many tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="choose among the tokens that hold this share of probability")
    repetition_penalty: float = Field(
        1.0, gt=0, description="above 1, what was said is less likely when answers are drawn"
    )
    mean_over: Literal["samples", "examples", "tokens"] = Field(
        "samples",
        description="what the loss is a mean over: all that was sampled, as the formula has it; the answers that are "
        "learned from; or their tokens",
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if self.steps_per_generation > 1 and not self.online:
            yield "steps_per_generation", "is about `online: true`; set that, or remove it"

    def prompts_per_rollout(self, n_tasks: int) -> int:
        return self.training.batch_size * self.steps_per_generation if self.online else n_tasks

    def n_rollouts(self, n_tasks: int, source: str) -> int:
        return super().n_rollouts(n_tasks, source) if self.online else self.rollouts or 1

    @property
    def passes(self) -> int:
        return 1 if self.online else max(1, round(self.training.epochs))


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
) -> Metrics:
    """Train `model` in place on what it samples for the tasks, and write it into `model/` of the run's folder.

    `rollouts/` there has all that was sampled, with the rewards and what was kept, one file for each rollout. An
    interrupted training is gone on with, to the same bits. Returns the measurements. heldout: what the policy is
    measured on before training, every `training.eval_steps` and at the end; all answers are in `evaluations/`. base:
    as for `burnish.methods.saving.save`. Raises DataError where no prompt leaves room for an answer, there would be no
    rollout, or nothing is accepted of what is sampled before training.
    """
    from burnish.methods.environment import environment_of, heldout_environment

    run = begin(model, tasks, settings, run)
    environment, n_dropped = environment_of(model, tokenizer, tasks, rewards, settings, run)
    measured = heldout_environment(model, tokenizer, heldout, settings, run)
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
    from burnish.objectives.rft import RFT
    from burnish.rewards.sampled_groups import RolloutConfig
    from burnish.training.events import read_events

    n_tasks = len(environment.tasks)
    n_rollouts = settings.n_rollouts(n_tasks, source(environment.tasks))
    prompts = settings.prompts_per_rollout(n_tasks)
    config = RolloutConfig(
        sampling=settings.sampling(
            top_k=settings.top_k, top_p=settings.top_p, repetition_penalty=settings.repetition_penalty
        ),
        prompts=prompts,
        num_generations=settings.num_generations,
        micro_batch_tokens=settings.training.micro_batch_tokens,
        tempered=False,  # what is learned is the model itself, at whatever temperature it was asked
    )

    def marks(
        judges: "Sequence[WeightedJudge]", groups: "Sequence[Sequence[JudgedAnswer]]"
    ) -> Mapping[str, Sequence[bool]]:
        found = [kept(judges, group, settings) for group in groups]
        return {ACCEPTED: [yes for one, _ in found for yes in one], KEPT: [yes for _, one in found for yes in one]}

    def answered(done: int) -> None:
        if not settings.online:
            run.display.say(f"  {done:,} of {prompts:,} prompts answered", style="dim")

    rollouts = Rollouts(model, environment, config, run, marks=marks, on_progress=answered)
    n_steps = settings.steps_per_generation if settings.online else _offline_steps(rollouts, settings, run)
    plan = UpdatePlan(settings, run.seed, n_steps)

    def updates(rollout: "Rollout", number: int, update: int) -> "list[Batch]":
        if update == 0 and not settings.online:
            _say(rollout, number, plan.per_rollout, run)
        return batches(rollout, *plan.learned(rollout, number, update), settings, first=update == 0)

    steps = RolloutSteps(
        rollouts, n_rollouts, plan.per_rollout, updates, lambda task: settings.group_of(environment.tasks[task])
    )
    watch = watched(model, heldout, config, settings, run)
    report = fit(
        model,
        RFT(settings.mean_over),
        steps,
        settings,
        run,
        step_metrics=lambda step: steps.metrics(step) | accepted_metrics(rollouts[step // plan.per_rollout]),
        shown=("loss", "accuracy", "tokens_per_second"),
        on_the_way=OnTheWay(watch.on_the_way(steps) if watch else None, snapshot_of(model, environment.tokenizer)),
        on_progress=on_progress,
    )
    of_rollouts = read_events(run.folder)[:: plan.per_rollout]
    if not any(event["kept"] for event in of_rollouts):
        run.warn(f"no answer was accepted, so nothing was learned; {REMEDY}")
    return {
        "steps": report.steps,
        "rollouts": n_rollouts,
        "tasks": n_tasks,
        "accuracy_by_time": by_time(of_rollouts, "accuracy"),
        **report.metrics,
        **(watch.compared(report) if watch else {}),
    }


@dataclass(frozen=True)
class UpdatePlan:
    """Which answers each of the `per_rollout` updates of a rollout learns from."""

    settings: Settings
    seed: int
    per_rollout: int

    def learned(self, rollout: "Rollout", number: int, update: int) -> tuple[list[int], float]:
        """The numbers of the answers that an update learns from, and how many samples they stand for.

        Online those of the update's prompts. Offline an even part of what was kept, each pass in another order, a
        function of (seed, rollout, pass); the samples are in proportion.
        """
        import numpy as np

        keep = rollout.marks[KEPT].nonzero().flatten().tolist()
        if self.settings.online:
            size = self.settings.training.batch_size * rollout.group_size
            return [one for one in keep if one // size == update], size
        total = round(self.settings.training.epochs * len(keep)) or len(keep)
        order: list[int] = []
        while len(order) < total:
            rng = np.random.default_rng([self.seed, number, len(order)])
            order += [keep[place] for place in rng.permutation(len(keep))]
        # In order, so that answers to one prompt share it.
        part = sorted(np.array_split(order[:total], self.per_rollout)[update].tolist())
        return part, len(part) * len(rollout.answers) / max(1, len(keep))


def batches(
    rollout: "Rollout", numbers: Sequence[int], n_samples: float, settings: Settings, *, first: bool
) -> "list[Batch]":
    """The micro-batches of one optimizer step that learns from these answers.

    first: whether the model is still the one that sampled, so that the log-probabilities of both are compared.
    """
    import torch

    from burnish.datasets.rollout import rollout_batches

    of_step = list(numbers) or [0]  # one that counts nothing, where a step has none
    found = rollout_batches(
        rollout,
        of_step,
        micro_batch_tokens=settings.training.micro_batch_tokens,
        rows={"accepted": rollout.marks[KEPT] if numbers else torch.zeros_like(rollout.marks[KEPT])},
        stored=first,
    )
    n_tokens = float(sum(len(rollout.answers[number]) for number in of_step))
    count = {"samples": max(1.0, n_samples), "examples": float(len(of_step)), "tokens": n_tokens}[settings.mean_over]
    # Also what was left out counts, so each batch bears an equal part of what the step is divided by.
    share = torch.tensor(count / len(found), dtype=torch.float64)
    return [batch.with_columns(loss_count=share) for _, batch in found]


def accepted_metrics(rollout: "Rollout") -> dict[str, float]:
    """Of a rollout: the share of answers that are accepted, of prompts that have one, and what is learned from."""
    accepted, keep = rollout.marks[ACCEPTED], rollout.marks[KEPT]
    metrics = {
        "accuracy": accepted.float().mean().item(),
        "solved": accepted.view(-1, rollout.group_size).any(1).float().mean().item(),
        "kept": int(keep.sum()),
    }
    if metrics["kept"]:
        metrics["kept/mean_length"] = rollout.lengths[keep].float().mean().item()
    return metrics


def _offline_steps(rollouts: "Rollouts", settings: Settings, run: "Run") -> int:
    """Optimizer steps of each round: those that the first needs, `training.batch_size` answers each.

    Raises DataError where nothing of it is accepted.
    """

    def count() -> int:
        return int(rollouts[0].marks[KEPT].sum())

    n_kept: int = run.remembered("kept", count)
    if not n_kept:
        n_answers = len(rollouts[0].answers)
        raise DataError(f"none of {n_answers:,} answers was accepted, so there is nothing to learn; {REMEDY}")
    return max(1, round(settings.training.epochs * n_kept / settings.training.batch_size))


def _say(rollout: "Rollout", number: int, n_steps: int, run: "Run") -> None:
    """Say what a round learns from; one of which nothing was accepted is remembered as a notice."""
    found = accepted_metrics(rollout)
    if not found["kept"]:
        run.notice(f"round {number + 1}: none of {len(rollout.answers):,} answers was accepted, so it taught nothing")
        return
    run.display.say(
        f"  round {number + 1}: {found['accuracy']:.1%} of {len(rollout.answers):,} answers accepted, of "
        f"{found['solved']:.1%} of the prompts; {found['kept']:,} are learned from in {n_steps:,} steps"
    )
