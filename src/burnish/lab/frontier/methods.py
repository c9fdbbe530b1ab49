"""The methods that are compared, each from the same reference and by the training loop that recipes use.

Notable choices:
- only the last blocks train; what is frozen is stored once, for the reference, the critic and the reward model too;
- a run is done when its outcomes are in the notebook; a run that was interrupted goes on from its saved state.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from burnish.datasets.batches import Batch, Steps, preference_batches, shuffled_steps, supervised_batches
from burnish.datasets.examples import Example, PreferenceExample, Prompt
from burnish.datasets.rankings import RankedExample, ranked_batches
from burnish.datasets.rows import Task
from burnish.files import atomic_file
from burnish.generation.answer import Answer
from burnish.lab.frontier.setting import Outcome, Setting
from burnish.lab.notebook import Notebook
from burnish.methods.ppo import PPOSteps, rollout_columns
from burnish.methods.ppo_settings import PPOSettings
from burnish.methods.rollouts import RolloutConfig, Rollouts
from burnish.methods.sequences import answer_rewards
from burnish.nn.actor_critic import ActorCritic, Reference, make_critic, sharing_copy
from burnish.nn.decoder import Decoder
from burnish.nn.scalar import ScalarModel
from burnish.objectives.dpo import DPO
from burnish.objectives.language_model import language_model
from burnish.objectives.objective import Objective, Outputs
from burnish.objectives.ppo import PPO
from burnish.objectives.reward_model import RewardModelling
from burnish.rewards.judgement import Judge, WeightedJudge
from burnish.training.config import TrainingConfig
from burnish.training.loop import Progress, StepsLike, train

Method = Literal["DPO", "IPO", "SFT on the preferred", "PPO, true reward", "PPO, learned reward"]
PPO_METHODS: tuple[Method, ...] = ("PPO, true reward", "PPO, learned reward")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How the runs learn: pairs a step and the learning rate; for PPO the prompts of a rollout, with one continuation
    each, and what is made of it."""

    batch_size: int = 16
    learning_rate: float = 1e-4
    rollout_prompts: int = 64
    ppo_epochs: int = 2
    ppo_learning_rate: float = 2e-4
    micro_batch_tokens: int = 4096


@dataclass(frozen=True)
class Run:
    """One training: what `value` is depends on the method (β, β as τ, the price of a nat; nothing for SFT)."""

    method: Method
    value: float
    seed: int

    @property
    def setting(self) -> str:
        if self.method == "SFT on the preferred":
            return ""
        return f"KL coefficient {self.value:g}" if self.method in PPO_METHODS else f"β = {self.value:g}"

    @property
    def name(self) -> str:
        """A file name."""
        return f"{self.method.replace(', ', '-').replace(' ', '-')}-{self.value:g}-{self.seed}"


@dataclass(frozen=True)
class Trainer:
    """Trains what a run asks for and evaluates it on the way.

    pairs: with the reference's log-probabilities of their answers' tokens, chosen first. steps: of what learns from
    them; rollouts: of PPO. evaluations: how many of a training, after equal parts, by method; of so many `answers`.
    """

    setting: Setting
    notebook: Notebook
    learning: Learning
    pairs: Sequence[PreferenceExample]
    reference_logps: Sequence[torch.Tensor]
    steps: int
    rollouts: int
    evaluations: Mapping[Method, int]
    answers: int

    def outcomes(self, run: Run) -> list[Outcome]:
        """What the policy was like at each evaluation, the last one after the training."""
        return [Outcome(**outcome) for outcome in self.notebook.piece(run.name, lambda: self._outcomes(run))]

    def n_steps(self, method: Method) -> int:
        """Optimizer steps of a training."""
        return self.rollouts * self.learning.ppo_epochs if method in PPO_METHODS else self.steps

    def evaluated_steps(self, method: Method) -> list[int]:
        """After which of them the policy is evaluated."""
        count, total = self.evaluations[method], self.n_steps(method)
        return sorted({max(1, total * part // count) for part in range(1, count + 1)})

    def _outcomes(self, run: Run) -> list[dict[str, Any]]:
        policy = sharing_copy(self.setting.reference)
        steps = self.evaluated_steps(run.method)

        def outcome(step: int) -> dict[str, Any]:
            seed = run.seed * 1000 + steps.index(step)
            return self.notebook.piece(
                f"{run.name}-step-{step}",
                lambda: asdict(self.setting.evaluate(policy, answers=self.answers, seed=seed)),
            )

        def look(progress: Progress) -> None:
            if progress.step in steps:
                outcome(progress.step)

        if run.method in PPO_METHODS:
            self._ppo(run, policy, look)
        else:
            self._learn_from_pairs(run, policy, look)
        shutil.rmtree(self.notebook.subfolder(run.name))
        return [outcome(step) for step in steps]

    def _learn_from_pairs(self, run: Run, policy: Decoder, look: Callable[[Progress], None]) -> None:
        if run.method == "SFT on the preferred":
            examples = [
                Example(pair.sequences[0], [False] * len(pair.prompt) + [True] * len(pair.chosen))
                for pair in self.pairs
            ]
            self._fit(
                run.name,
                policy,
                language_model,
                self._steps(
                    run.seed,
                    lambda numbers: supervised_batches(
                        [examples[number] for number in numbers], micro_batch_tokens=self.learning.micro_batch_tokens
                    ),
                ),
                look=look,
                seed=run.seed,
            )
            return

        def batches(numbers: Sequence[int]) -> list[Batch]:
            return preference_batches(
                [self.pairs[number] for number in numbers],
                micro_batch_tokens=self.learning.micro_batch_tokens,
                reference_logps=[self.reference_logps[number] for number in numbers],
            )

        objective = DPO(run.value, loss_type="ipo" if run.method == "IPO" else "sigmoid")
        self._fit(run.name, policy, objective, self._steps(run.seed, batches), look=look, seed=run.seed)

    def _ppo(self, run: Run, policy: Decoder, look: Callable[[Progress], None]) -> None:
        learning, folder = self.learning, self.notebook.subfolder(run.name)
        model = ActorCritic(policy, make_critic(policy, "head"), kl_coef=run.value)
        prompts = [Prompt(tokens, {"tokens": tokens}) for tokens in self.setting.openings.train]
        rollouts = Rollouts(
            policy,
            self.setting.tokenizer,
            [Task([{"role": "user", "content": self.setting.text(p.tokens, [])}], p.row) for p in prompts],
            prompts,
            [WeightedJudge("sentiment", self._reward(run))],
            RolloutConfig(
                sampling=self.setting.sampling,
                prompts=learning.rollout_prompts,
                num_generations=1,
                micro_batch_tokens=learning.micro_batch_tokens,
            ),
            columns=rollout_columns(model, Reference(policy)),
            folder=folder / "rollouts",
            store=folder / "store",
            seed=run.seed,
            identity=self._identity(run.name),
        )
        settings = PPOSettings.model_validate(
            {"kl_coef": run.value, "num_ppo_epochs": learning.ppo_epochs, "use_score_scaling": True}
        )
        self._fit(
            run.name,
            model,
            PPO(),
            PPOSteps(model, rollouts, settings, n_rollouts=self.rollouts, seed=run.seed),
            look=look,
            seed=run.seed,
            outputs=lambda batch: model(batch.forest, batch.scored),
            rate=learning.ppo_learning_rate,
        )

    def _reward(self, run: Run) -> Judge:
        setting, tokenizer = self.setting, self.setting.tokenizer

        def answer(said: Answer) -> list[int]:
            end = [] if not said.finished or tokenizer.eos_id is None else [tokenizer.eos_id]
            return [*tokenizer.encode(said.text), *end]

        if run.method == "PPO, true reward":
            return lambda said: setting.sentiment(setting.text(one.row["tokens"], answer(one)) for one in said)
        model = self.reward_model(run.seed)
        return lambda said: answer_rewards(model, [one.row["tokens"] for one in said], [answer(one) for one in said])

    def reward_model(self, seed: int) -> ScalarModel:
        """Bradley-Terry on the pairs, from the reference's weights; its own are kept in the notebook."""
        model = ScalarModel(sharing_copy(self.setting.reference), seed=seed)
        name = f"reward-model-{seed}"

        def batches(numbers: Sequence[int]) -> list[Batch]:
            pairs = (self.pairs[number] for number in numbers)
            return ranked_batches(
                [RankedExample(pair.prompt, [pair.chosen, pair.rejected]) for pair in pairs],
                micro_batch_tokens=self.learning.micro_batch_tokens,
            )

        file = self.notebook.subfolder("reward-models") / f"{name}.safetensors"
        if not load_trained(model, file, identity=self._identity(name)):
            self._fit(
                name,
                model,
                RewardModelling(),
                self._steps(seed, batches),
                seed=seed,
                outputs=lambda batch: model(batch.forest, batch.scored),
            )
            save_trained(model, file, identity=self._identity(name))
            shutil.rmtree(self.notebook.subfolder(name))
        return model.eval()

    def _steps(self, seed: int, build: Callable[[Sequence[int]], list[Batch]]) -> Steps:
        size = self.learning.batch_size
        plan = shuffled_steps(len(self.pairs), batch_size=size, epochs=self.steps * size / len(self.pairs), seed=seed)
        return Steps(plan[: self.steps], build)

    def _fit(
        self,
        name: str,
        model: nn.Module,
        objective: Objective[Outputs],
        steps: StepsLike,
        *,
        seed: int,
        look: Callable[[Progress], None] = lambda _: None,
        outputs: Callable[[Batch], Outputs] | None = None,
        rate: float | None = None,
    ) -> None:
        config = TrainingConfig.model_validate(
            {
                "learning_rate": rate or self.learning.learning_rate,
                "schedule": "constant",
                "warmup_fraction": 0.1,
                "batch_size": self.learning.batch_size,
                "micro_batch_tokens": self.learning.micro_batch_tokens,
            }
        )
        train(
            model,
            objective,
            steps,
            config,
            folder=self.notebook.subfolder(name),
            seed=seed,
            identity=self._identity(name),
            outputs=outputs,
            on_progress=look,
        )

    def _identity(self, name: str) -> str:
        return f"{self.notebook.identity}-{name}"


def save_trained(model: nn.Module, file: Path, *, identity: str) -> None:
    """Keep the parameters that train."""
    tensors = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    with atomic_file(file) as temporary:
        save_file(tensors, temporary, metadata={"identity": identity})


def load_trained(model: nn.Module, file: Path, *, identity: str) -> bool:
    """Take them over in place; False where there are none of this identity."""
    try:
        with safe_open(file, framework="pt") as opened:
            if (opened.metadata() or {}).get("identity") != identity:
                return False
        model.load_state_dict(load_file(file), strict=False)
    except (SafetensorError, OSError, RuntimeError):
        return False
    return True
