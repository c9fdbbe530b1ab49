"""Proximal policy optimization (PPO; Schulman 2017, arXiv:1707.06347) against rewards of sampled answers.

As in Ouyang 2022 (arXiv:2203.02155): a rollout is answers to some prompts, sampled from the policy as it is now and
scored. A critic says before each token what is still to be earned, a reference what leaving it costs. Several passes
over the tokens follow, each clipped to stay near the policy that sampled. Then the next rollout is sampled.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.methods.measuring import Metrics
from burnish.methods.saving import save, snapshot_of
from burnish.methods.settings import RolloutSettings, Strict, source
from burnish.methods.training import OnTheWay, begin, fit, make_trainable

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.methods.heldout_tasks import HeldOutTasks
    from burnish.nn.decoder import Decoder
    from burnish.nn.scalar import ScalarModel
    from burnish.rewards.environment import Environment
    from burnish.rewards.judgement import WeightedJudge
    from burnish.runs.run import Run
    from burnish.text.tokenizer import Tokenizer
    from burnish.training.loop import Progress


class CriticSettings(Strict):
    """The critic, which says what is still to be earned after each token."""

    type: Literal["head", "network"] = Field(
        "head",
        description="head: on the policy's own hidden states; network: a model of its own, which starts as the policy",
    )


class Settings(RolloutSettings):
    """What the scores of a rollout become, how often it is learned from, and the loss; names are TRL's."""

    critic: CriticSettings = Field(CriticSettings.model_validate({}), description="the critic")
    num_ppo_epochs: int = Field(4, ge=1, description="passes over each rollout")
    num_mini_batches: int = Field(1, ge=1, description="optimizer steps of each pass")
    gamma: float = Field(1.0, ge=0, le=1, description="γ, what a reward one token later counts")
    lam: float = Field(0.95, ge=0, le=1, description="λ of the advantages: 1 trusts rewards, 0 the critic")
    kl_coef: float = Field(0.05, ge=0, description="β, the price of a nat of departure from the reference")
    kl_estimator: Literal["k1", "k2", "k3"] = Field("k1", description="how a token's departure is estimated")
    target_kl: float | None = Field(
        None, gt=0, description="nats an answer that β adapts to (Ziegler 2019); β stays if left out"
    )
    kl_gain: float = Field(0.1, gt=0, le=1, description="how fast β adapts: by up to a fifth of this each rollout")
    missing_eos_penalty: float | None = Field(None, gt=0, description="taken off the score of a cut answer")
    score_clip: float | None = Field(None, gt=0, description="scores beyond ± this count as this")
    use_score_scaling: bool = Field(False, description="divide scores by the deviation of all so far")
    use_score_norm: bool = Field(False, description="with use_score_scaling: take off their mean too")
    whiten_rewards: bool = Field(False, description="scale a rollout's rewards to deviation 1")
    whiten_advantages: bool = Field(True, description="shift and scale a rollout's advantages to mean 0, deviation 1")

    cliprange: float = Field(0.2, gt=0, lt=1, description="ε, how far the ratio to the sampling policy is followed")
    cliprange_value: float | None = Field(
        0.2, gt=0, description="how far values may move from those of the rollout; null: any distance"
    )
    vf_coef: float = Field(0.1, ge=0, description="weight of the critic's loss")
    entropy_coef: float = Field(0.0, ge=0, description="weight of the entropy bonus")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if self.use_score_norm and not self.use_score_scaling:
            yield "use_score_norm", "got true without use_score_scaling: set that too, or remove it"

    def prompts_per_rollout(self, n_tasks: int) -> int:
        return self.training.batch_size * self.num_mini_batches

    @property
    def passes(self) -> int:
        return self.num_ppo_epochs


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
    critic: "ScalarModel | None" = None,
) -> Metrics:
    """Train `model` in place on what it samples for the tasks, and write it into `model/` of the run's folder.

    heldout: what the policy is measured on before training, every `training.eval_steps` and at the end; all answers are
    in `evaluations/`. base: as for `burnish.methods.saving.save`. critic: a model of the same vocabulary to begin with,
    such as a reward model; one that begins as the policy if left out. `rollouts/` in the run's folder has all that was
    sampled, with the rewards, one file for each rollout. An interrupted training is gone on with, to the same bits.
    Returns the measurements.
    Raises DataError where no prompt leaves room for an answer, or there would be no rollout.
    """
    from burnish.methods.environment import environment_of, heldout_environment

    run = begin(model, tasks, settings, run)
    environment, n_dropped = environment_of(model, tokenizer, tasks, rewards, settings, run)
    measured = heldout_environment(model, tokenizer, heldout, settings, run)
    make_trainable(model, settings, run)
    if critic is not None:
        make_trainable(critic.decoder, settings, run)
    metrics = learn(model, environment, settings, run, critic=critic, heldout=measured)
    save(model, tokenizer, settings, run, base=base)
    return {"dropped": n_dropped, **metrics}


def learn(
    model: "Decoder",
    environment: "Environment",
    settings: Settings,
    run: "Run",
    *,
    critic: "ScalarModel | None" = None,
    heldout: "Environment | None" = None,
    on_progress: "Callable[[Progress], None]" = lambda _: None,
) -> Metrics:
    """Train those parameters of `model` and critic that are trainable, on prompts given as tokens.

    heldout: as for `train`.
    """
    from burnish.methods.heldout_tasks import watched
    from burnish.methods.ppo_steps import PPOSteps, rollout_columns
    from burnish.methods.rollouts import Rollouts
    from burnish.nn.actor_critic import ActorCritic, ReferencePolicy, make_critic
    from burnish.objectives.ppo import PPO
    from burnish.rewards.sampled_groups import RolloutConfig

    n_rollouts = settings.n_rollouts(len(environment.tasks), source(environment.tasks))
    reference = ReferencePolicy(model)
    critic = critic or make_critic(model, settings.critic.type)
    actor_critic = ActorCritic(model, critic, kl_coef=settings.kl_coef, temperature=settings.temperature)
    config = RolloutConfig(
        sampling=settings.sampling(),
        prompts=settings.prompts_per_rollout(len(environment.tasks)),
        num_generations=settings.num_generations,
        micro_batch_tokens=settings.training.micro_batch_tokens,
    )
    columns = rollout_columns(actor_critic, reference)
    rollouts = Rollouts(model, environment, config, run, columns=columns)
    steps = PPOSteps(
        actor_critic,
        rollouts,
        settings,
        n_rollouts=n_rollouts,
        seed=run.seed,
        group_of=lambda task: settings.group_of(environment.tasks[task]),
    )
    watch = watched(model, heldout, config, settings, run)
    report = fit(
        actor_critic,
        PPO(settings.cliprange, settings.cliprange_value, settings.vf_coef, settings.entropy_coef),
        steps,
        settings,
        run,
        outputs=lambda batch: actor_critic(batch.forest, batch.scored, entropies=settings.entropy_coef > 0),
        step_metrics=steps.metrics,
        shown=("objective/scores", "objective/kl"),
        on_the_way=OnTheWay(
            watch.on_the_way(steps) if watch else None, snapshot_of(actor_critic, environment.tokenizer)
        ),
        on_progress=on_progress,
    )
    return {
        "steps": report.steps,
        "rollouts": n_rollouts,
        "tasks": len(environment.tasks),
        **report.metrics,
        **(watch.compared(report) if watch else {}),
    }
